#pragma once

#include <cstdint>
#include <string>

#include "model/bf16.h"

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
  std::string precision = "f32";        ///< What matrix products read: "f32", "bf16", or "auto": see below.
  bool recompute = false;               ///< Run layers again in backward: less memory, a third more time, same bits.
  std::uint64_t eval_every_steps = 0;   ///< 0: only at the first and the last step.
  std::uint64_t eval_tokens = 100'000;  ///< Held-out tokens over all corpora together.
  std::uint64_t checkpoint_every_steps = 1000;
  int keep_last = 3;
};

/// "bf16" for "auto" if this processor has it, else "f32"; the others as they are.
std::string resolved_precision(const std::string& precision);
/// Throws ConfigError for an unknown word, and for "bf16" where the processor has no instructions for it.
Precision precision_named(const std::string& precision);

}  // namespace millrace
