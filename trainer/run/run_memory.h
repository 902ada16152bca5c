#pragma once

#include <filesystem>

#include "trainer/config/run_config.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// What a run that is read from its shards would take, with `threads` threads of computing and as many of reading.
/// REQUIRES: the model's vocabulary size is filled in. The answer refers to `run`; the vocabulary's file may be
/// missing.
MemoryQuestion memory_question(const RunConfig& run, const std::filesystem::path& vocabulary, int threads);

}  // namespace millrace
