#pragma once

#include "model/config/model_config.h"

namespace millrace {

/// The smallest model with every kind of layer.
inline ModelConfig tiny_model() {
  ModelConfig config;
  config.vocab_size = 128;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 64;
  config.num_experts = 4;
  config.moe_layer_interval = 2;
  return config;
}

}  // namespace millrace
