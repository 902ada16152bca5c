// The sizes of the published OpenMoE models, and two of our own.
#include <stdexcept>
#include <utility>

#include "model/config/model_config.h"

namespace millrace {

namespace {

/// What all presets share: the settings that the published models were trained with.
ModelConfig as_trained() {
  ModelConfig config;
  config.capacity_rule = CapacityRule::flaxformer;
  config.router_group_size = 4096;
  return config;
}

ModelConfig base() {
  ModelConfig config = as_trained();
  config.hidden_size = 768;
  config.num_attention_heads = 12;
  config.head_dim = 64;
  config.intermediate_size = 2048;
  config.num_hidden_layers = 12;
  config.num_experts = 16;
  config.moe_layer_interval = 4;
  return config;
}

ModelConfig large() {
  ModelConfig config = as_trained();
  config.hidden_size = 2048;
  config.num_attention_heads = 24;
  config.head_dim = 128;
  config.intermediate_size = 8192;
  config.num_hidden_layers = 24;
  config.num_experts = 32;
  config.moe_layer_interval = 6;
  return config;
}

ModelConfig extra_large() {
  ModelConfig config = large();
  config.hidden_size = 3072;
  config.intermediate_size = 12288;
  config.num_hidden_layers = 32;
  config.moe_layer_interval = 4;
  config.router_group_size = 8192;
  config.router_z_loss_factor = 1e-3;  // 1e-4 in its UL2 phase, the first 25,000 steps.
  return config;
}

/// Learns something in minutes on two cores. 5M parameters with a vocabulary of 8192.
ModelConfig nano() {
  ModelConfig config = as_trained();
  config.vocab_size = 8192;
  config.hidden_size = 128;
  config.num_attention_heads = 4;
  config.head_dim = 32;
  config.intermediate_size = 256;
  config.num_hidden_layers = 4;
  config.num_experts = 8;
  config.moe_layer_interval = 2;
  return config;
}

/// For tests.
ModelConfig micro() {
  ModelConfig config = as_trained();
  config.vocab_size = 64;
  config.hidden_size = 16;
  config.num_attention_heads = 2;
  config.head_dim = 6;
  config.intermediate_size = 12;
  config.num_hidden_layers = 2;
  config.num_experts = 4;
  config.moe_layer_interval = 2;
  config.max_position_embeddings = 128;
  return config;
}

constexpr std::pair<const char*, ModelConfig (*)()> kPresets[] = {{"openmoe-base", base},
                                                                  {"openmoe-8b", large},
                                                                  {"openmoe-34b", extra_large},
                                                                  {"openmoe-nano", nano},
                                                                  {"openmoe-micro", micro}};

}  // namespace

std::vector<std::string> model_preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kPresets) names.emplace_back(name);
  return names;
}

ModelConfig model_preset(const std::string& name) {
  std::string known;
  for (const auto& [preset, make] : kPresets) {
    if (name == preset) return make();
    known += (known.empty() ? "" : ", ") + std::string(preset);
  }
  throw std::invalid_argument("is \"" + name + "\", expected one of " + known);
}

}  // namespace millrace
