#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "pipeline/plan/mix_forecast.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// A forecast with what training would take, for `mix check` and `mix plan`.
struct MixView {
  const ForecastRequest& request;
  const MixForecast& forecast;
  std::filesystem::path vocabulary;       ///< The file, there or not; empty: none was named.
  std::optional<MemoryPlan> memory = {};  ///< Of training; with a vocabulary.
  MachineMemory machine = {};
  std::string memory_advice = {};  ///< What to change so that it fits; empty: it does.

  std::string text() const;
  std::string json() const;
};

}  // namespace millrace
