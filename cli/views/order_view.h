#pragma once

#include <string>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/lanes.h"

namespace millrace {

/// How the corpora are read, a row for each: how many shards side by side, in windows of how many tokens, the memory
/// that takes, and what is read again at most to go on after a stop. `plans`: of the corpora.
std::string order_table(const std::vector<RunCorpus>& corpora, const std::vector<ReadingPlan>& plans);

}  // namespace millrace
