#pragma once

#include <cstdint>

#include "model/config/model_config.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// Bytes that an optimizer takes for a model.
struct OptimizerMemory {
  std::uint64_t state = 0;    ///< Of all tensors of Optimizer::state().
  std::uint64_t scratch = 0;  ///< During one update.
};
OptimizerMemory optimizer_memory(const TrainConfig& config, const ModelConfig& model);

}  // namespace millrace
