#pragma once

#include <cstdint>

#include "trainer/config/train_config.h"

namespace millrace {

/// Step number to learning rate. Immutable. With base = learning_rate, W = warmup_steps, N = the run's last step:
///   "rsqrt"     base / sqrt(max(step, W)): T5X's 'constant * rsqrt_decay', flat until W (pretrain.gin)
///   "constant"  base
///   "cosine"    base (step + 1) / W up to W, then half a cosine from base to final_learning_rate at N
///               (Loshchilov and Hutter, arXiv 1608.03983, without restarts)
///   "wsd"       warm-up as "cosine", then base, and over the last decay_share of N a straight line to
///               final_learning_rate (warm-up, stable, decay: MiniCPM, arXiv 2404.06395, 4)
class LearningRate {
 public:
  /// `total_steps`: N; not used by "rsqrt" and "constant". Throws ConfigError if the schedule is
  /// unknown, a rate is not valid, or the run is too short for the warm-up and the decay.
  LearningRate(const TrainConfig& config, std::uint64_t total_steps);

  /// Rate of the update after `step` finished steps: 0 for the first update.
  double at(std::uint64_t step) const;

 private:
  enum class Schedule : std::uint8_t { rsqrt, constant, cosine, wsd };
  Schedule schedule_;
  double base_;
  double final_;
  double warmup_steps_;
  double decay_from_ = 0;  ///< Step at which the rate begins to fall.
  double total_steps_;
};

}  // namespace millrace
