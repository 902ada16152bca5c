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
  bool per_expert = false;         ///< First axis counts experts: optimizers treat each slice as its own tensor.
  int layer = 0;                   ///< kEmbedding, a layer, or behind the last one: the final norm and the head.
  std::uint64_t number = 0;        ///< Place in the whole model's list.
  std::int64_t first_element = 0;  ///< Of the whole tensor, where this part of it begins: some experts.

  static constexpr int kEmbedding = -1;

  std::int64_t size() const;
};

/// Consecutive layers of a model. The embedding goes with the first layer, the final norm and the head with the last.
struct LayerRange {
  int first = 0;
  int end = 0;  ///< Behind the last one.

  bool has_embedding() const { return first == 0; }
  bool has_head(const ModelConfig& config) const { return end == config.num_hidden_layers; }
};
inline LayerRange all_layers(const ModelConfig& config) {
  return {0, config.num_hidden_layers};
}

/// Consecutive experts of every layer that has any.
struct ExpertRange {
  int first = 0;
  int count = 0;
};

/// Every parameter of a model, or of some of its layers and experts, in a fixed order.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config, const LayerRange& layers);
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config, const LayerRange& layers,
                                           const ExpertRange& experts);
std::int64_t parameter_count(const ModelConfig& config);

}  // namespace millrace
