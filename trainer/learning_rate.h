#pragma once

#include <cstdint>
#include <string>

#include "trainer/train_config.h"

namespace millrace {

/// Step number to learning rate. Immutable.
///   "rsqrt"     learning_rate / sqrt(max(step, warmup_steps)): T5X's 'constant * rsqrt_decay', flat until warmup_steps
///   "constant"  learning_rate
class LearningRate {
 public:
  /// Throws ConfigError if the schedule is unknown, the rate not positive or rsqrt has no warm-up.
  explicit LearningRate(const TrainConfig& config);

  /// Rate of the update that follows `step` finished ones: the first update asks for step 0.
  double at(std::uint64_t step) const;

 private:
  enum class Schedule : std::uint8_t { rsqrt, constant };
  Schedule schedule_ = Schedule::rsqrt;
  double base_;
  double warmup_steps_;
};

}  // namespace millrace
