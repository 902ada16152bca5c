#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/model_config.h"

namespace millrace {

/// How a parameter is drawn before training (flaxformer moe_decoder_only.gin; docs/model.md, "First values").
struct Initializer {
  enum class Law : std::uint8_t { ones, normal, truncated_normal };
  Law law = Law::normal;
  double stddev = 0;
};

/// A parameter's name and shape as in released checkpoints (colossalai modeling_openmoe.py).
struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  Initializer initializer;
  bool per_expert = false;  ///< First axis counts experts: optimizers treat each slice as its own tensor.

  std::int64_t size() const;
};

/// Every parameter of a model, in a fixed order.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);
std::int64_t parameter_count(const ModelConfig& config);

}  // namespace millrace
