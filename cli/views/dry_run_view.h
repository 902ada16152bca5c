#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "trainer/config/run_config.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"
#include "trainer/run/run_origin.h"

namespace millrace {

/// What training would do, for `train --dry-run`.
struct DryRun {
  const RunConfig& run;
  std::filesystem::path run_dir;
  RunOrigin origin;
  bool resume = false;
  MemoryPlan memory;
  MachineMemory machine;

  std::string text() const;
  std::string json() const;
};

}  // namespace millrace
