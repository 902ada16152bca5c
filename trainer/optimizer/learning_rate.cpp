#include "trainer/optimizer/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

LearningRate::LearningRate(const TrainConfig& config, std::uint64_t total_steps)
    : base_(config.learning_rate),
      final_(config.final_learning_rate),
      warmup_steps_(config.warmup_steps),
      total_steps_(static_cast<double>(total_steps)) {
  if (config.schedule == "rsqrt") {
    schedule_ = Schedule::rsqrt;
  } else if (config.schedule == "constant") {
    schedule_ = Schedule::constant;
  } else if (config.schedule == "cosine") {
    schedule_ = Schedule::cosine;
  } else if (config.schedule == "wsd") {
    schedule_ = Schedule::wsd;
  } else {
    throw ConfigError(fmt::format("train.schedule is \"{}\", expected \"rsqrt\", \"constant\", \"cosine\" or \"wsd\"",
                                  config.schedule));
  }
  if (!(base_ > 0) || !std::isfinite(base_))
    throw ConfigError(fmt::format("train.learning_rate is {}, expected a number above 0", base_));
  if (schedule_ == Schedule::constant) return;
  if (schedule_ == Schedule::rsqrt) {
    if (config.warmup_steps < 1)
      throw ConfigError(
          fmt::format("train.warmup_steps is {}, schedule \"rsqrt\" needs at least 1", config.warmup_steps));
    return;
  }
  if (!(final_ >= 0 && final_ <= base_))
    throw ConfigError(fmt::format("train.final_learning_rate is {}, expected 0 to learning_rate = {}", final_, base_));
  if (!(config.decay_share > 0 && config.decay_share <= 1))
    throw ConfigError(
        fmt::format("train.decay_share is {}, expected a share of the run's steps, at most 1", config.decay_share));
  const double decay_steps = schedule_ == Schedule::wsd ? std::round(config.decay_share * total_steps_) : 0;
  if (config.warmup_steps < 0 || warmup_steps_ + decay_steps > total_steps_)
    throw ConfigError(fmt::format("train.warmup_steps is {}: schedule \"{}\" has room for 0 to {} in a run of {} steps",
                                  config.warmup_steps, config.schedule, total_steps_ - decay_steps, total_steps));
  decay_from_ = schedule_ == Schedule::wsd ? total_steps_ - decay_steps : warmup_steps_;
}

double LearningRate::at(std::uint64_t steps) const {
  const auto step = static_cast<double>(steps);
  switch (schedule_) {
    case Schedule::rsqrt:
      return base_ / std::sqrt(std::max(step, warmup_steps_));
    case Schedule::constant:
      return base_;
    case Schedule::cosine:
    case Schedule::wsd:
      break;
  }
  if (step < warmup_steps_) return base_ * (step + 1) / warmup_steps_;
  if (step < decay_from_) return base_;
  if (step >= total_steps_) return final_;
  const double progress = (step - decay_from_) / (total_steps_ - decay_from_);
  const double left = schedule_ == Schedule::wsd ? 1 - progress : (1 + std::cos(std::numbers::pi * progress)) / 2;
  return final_ + (base_ - final_) * left;
}

}  // namespace millrace
