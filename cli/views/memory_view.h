#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/config/run_config.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// What a run that is read from its shards would take, with `threads` threads of computing and as many of reading.
/// REQUIRES: the model's vocabulary size is filled in. The answer refers to `run`; the vocabulary's file may be
/// missing.
MemoryQuestion memory_question(const RunFile& run, const std::filesystem::path& vocabulary, int threads);

/// One line a part, then all together and what the machine has.
std::string memory_table(const MemoryPlan& plan, const MachineMemory& machine);
/// The same in one line, for a log.
std::string memory_line(const MemoryPlan& plan, const MachineMemory& machine);
/// {"weights", .., "total", "available", "available_limit"}: bytes.
nlohmann::ordered_json memory_json(const MemoryPlan& plan, const MachineMemory& machine);

/// What to change so that it fits; empty: it does.
std::string memory_advice(const MemoryQuestion& question, const MachineMemory& machine);
/// Throws ConfigError with table and advice unless the run fits.
void refuse_what_does_not_fit(const std::string& where, const MemoryQuestion& question, const MachineMemory& machine);

}  // namespace millrace
