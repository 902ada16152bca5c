#pragma once

#include <cstdint>
#include <string>

namespace millrace {

/// How a run trains, as written in the run file's [train], [eval] and [checkpoint]. Defaults are OpenMoE-Base's.
struct TrainConfig {
  int batch_rows = 128;
  int micro_rows = 0;        ///< Rows per micro-batch; 0: all. Divides batch_rows. Part of the run's identity.
  std::uint64_t tokens = 0;  ///< Positions to train on; 0: the last phase's end.
  std::string optimizer = "adafactor";
  std::string schedule = "rsqrt";  ///< learning_rate / sqrt(max(step, warmup_steps)); also "constant".
  double learning_rate = 1.0;
  int warmup_steps = 10000;
  std::string precision = "f32";        ///< "f32"; others are refused until built.
  std::uint64_t eval_every_steps = 0;   ///< 0: only at the first and the last step.
  std::uint64_t eval_tokens = 100'000;  ///< Held-out tokens over all corpora together.
  std::uint64_t checkpoint_every_steps = 1000;
  int keep_last = 3;
};

}  // namespace millrace
