#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/cost/activated_parameters.h"
#include "pipeline/plan/mix_forecast.h"
#include "pipeline/reading/lanes.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// A forecast with the memory and operations that training would need, for `mix check` and `mix plan`.
struct MixView {
  const ForecastRequest& request;
  const MixForecast& forecast;
  std::filesystem::path vocabulary;                ///< The file, which may be missing; empty: none was named.
  std::vector<ReadingPlan> reading = {};           ///< Of the forecast's corpora; empty: not a run, or without data.
  std::optional<ParameterCounts> parameters = {};  ///< Of a run's model.
  std::optional<MemoryPlan> memory = {};           ///< Of training; needs the vocabulary.
  MachineMemory machine = {};
  std::string memory_advice = {};  ///< What to change so that it fits; empty: it does.

  std::string text() const;
  std::string json() const;
};

}  // namespace millrace
