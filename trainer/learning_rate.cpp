#include "trainer/learning_rate.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

LearningRate::LearningRate(const TrainConfig& config)
    : base_(config.learning_rate), warmup_steps_(config.warmup_steps) {
  if (config.schedule == "constant") {
    schedule_ = Schedule::constant;
  } else if (config.schedule != "rsqrt") {
    throw ConfigError(fmt::format("train.schedule is \"{}\", expected \"rsqrt\" or \"constant\"", config.schedule));
  }
  if (!(base_ > 0) || !std::isfinite(base_))
    throw ConfigError(fmt::format("train.learning_rate is {}, expected a number above 0", base_));
  if (schedule_ == Schedule::rsqrt && config.warmup_steps < 1)
    throw ConfigError(
        fmt::format("train.warmup_steps is {}, schedule \"rsqrt\" needs at least 1", config.warmup_steps));
}

double LearningRate::at(std::uint64_t step) const {
  if (schedule_ == Schedule::constant) return base_;
  return base_ / std::sqrt(std::max(static_cast<double>(step), warmup_steps_));
}

}  // namespace millrace
