#pragma once

#include <filesystem>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "trainer/config/run_config.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// The memory plan of a run that reads its shards, with `threads` compute threads and as many reader threads.
/// `corpora`: of the trained stream; where their shards are not known, each counts one. REQUIRES: the model's
/// vocabulary size is filled in. The result refers to `run`; the vocabulary's file may be missing.
MemoryQuestion memory_question(const RunConfig& run, const std::vector<RunCorpus>& corpora,
                               const std::filesystem::path& vocabulary, int threads);

}  // namespace millrace
