#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"
#include "model/optimizer/owned_parts.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// Bytes that an optimizer takes for a model.
struct OptimizerMemory {
  std::uint64_t state = 0;    ///< Of all tensors of Optimizer::state().
  std::uint64_t scratch = 0;  ///< During one update.
};
OptimizerMemory optimizer_memory(const TrainConfig& config, const ModelConfig& model);
/// The same of one of several owners of some parameters. The device's part; the host has as little again as one number
/// for each piece of rows.
OptimizerMemory optimizer_memory(const TrainConfig& config, const std::vector<ParameterSpec>& specs,
                                 const std::vector<ParameterPart>& parts);

}  // namespace millrace
