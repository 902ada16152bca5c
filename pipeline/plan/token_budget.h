#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

/// Raw tokens that each corpus is to give of `tokens`: its share over the whole run, phases weighed by their length;
/// rounded down. Throws ConfigError if the numbers are too large to be exact.
std::vector<std::uint64_t> token_budgets(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                         std::uint64_t tokens);

}  // namespace millrace
