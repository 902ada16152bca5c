#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/stream_row.h"
#include "trainer/loop/train_setup.h"
#include "trainer/optimizer/learning_rate.h"

namespace millrace {

/// The phase whose keys a step is made with: that of the first example of its first row.
std::uint32_t phase_of_step(const Batch& batch);

/// What a run's phases train with.
class TrainedPhases {
 public:
  /// `total_steps`: of the whole run; all schedules count its steps. Throws ConfigError as LearningRate.
  TrainedPhases(const TrainSetup& setup, std::uint64_t total_steps);

  const PhaseTraining& at(std::uint32_t phase) const { return phases_.at(phase); }
  /// Of the update after `steps` finished steps.
  double learning_rate(std::uint32_t phase, std::uint64_t steps) const { return rates_.at(phase).at(steps); }

  /// The keys that one phase has otherwise than another, with its values: {"router_z_loss_factor": 0.001}.
  nlohmann::ordered_json changed_keys(std::uint32_t before, std::uint32_t now) const;
  /// "router_z_loss_factor 0.001 (before 0.0001), ..."; empty: none.
  std::string changes(std::uint32_t before, std::uint32_t now) const;

 private:
  std::vector<PhaseTraining> phases_;
  std::vector<LearningRate> rates_;
};

}  // namespace millrace
