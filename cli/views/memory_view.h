#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// One line per part, and together.
std::string memory_parts_table(const MemoryPlan& plan);
/// {"weights", .., "program"}: bytes; "exchange" among them for one of several ranks.
nlohmann::ordered_json memory_parts_json(const MemoryPlan& plan);

/// One line per part, then the total and the memory of the machine.
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
