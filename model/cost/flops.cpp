#include "model/cost/flops.h"

namespace millrace {

double product_operations(const ModelConfig& config, const ProductWork& work) {
  const double hidden = config.hidden_size;
  const double attention = double{1} * config.num_attention_heads * config.head_dim;
  const double feed_forward = 8 * hidden * config.intermediate_size;
  double of_position = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    of_position += 8 * hidden * attention + feed_forward;
    if (config.is_moe_layer(layer)) of_position += 2 * hidden * config.num_experts;
  }
  const double of_attention_pair = config.num_hidden_layers * 4 * attention;
  const double of_loss_position = 2 * hidden * config.vocab_size;
  return 3 * (work.positions * of_position + work.attention_pairs * of_attention_pair +
              work.expert_pairs * feed_forward + work.loss_positions * of_loss_position);
}

}  // namespace millrace
