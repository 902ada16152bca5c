#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// How many tokens an expert may take (flaxformer routing.py, colossalai moe/routers.py; docs/model.md, "Capacity").
enum class CapacityRule : std::uint8_t {
  colossalai,  ///< One pool of all tokens: floor(2 CF T / E), made even, at least router_min_capacity. Released
               ///< checkpoints.
  flaxformer,  ///< Per group of at most router_group_size tokens: max(round(CF T_group / E), router_min_capacity).
  dropless,    ///< No limit.
};

/// An OpenMoE's shape and constants. Field names are those of the released config.json. Allowed values are in
/// model_fields.h.
struct ModelConfig {
  int vocab_size = 256384;       ///< V: rows of embedding and head.
  int hidden_size = 768;         ///< H
  int intermediate_size = 2048;  ///< F
  int num_hidden_layers = 12;    ///< L
  int num_attention_heads = 12;  ///< N
  int head_dim = 64;             ///< D; N * D need not equal H
  int max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;

  int num_experts = 16;        ///< E
  int moe_layer_interval = 4;  ///< Layer i (0-based) is an MoE layer iff (i + 1) % interval == 0.
  int router_topk = 2;         ///< min(router_topk, E) experts a token.
  double router_capacity_factor_train = 1.25;
  double router_capacity_factor_eval = 2.0;
  int router_min_capacity = 4;
  CapacityRule capacity_rule = CapacityRule::colossalai;
  int router_group_size = 4096;  ///< flaxformer: largest divisor of the micro-batch's positions that is <= this.
  bool pads_routed = true;  ///< Padding is routed to experts 0 and 1 and counts in both router losses, as in OpenMoE's
                            ///< training. If false, it is not routed and counts nowhere (docs/model.md, "padding").

  double router_aux_loss_factor = 0.01;
  double router_z_loss_factor = 1e-4;
  double z_loss_factor = 1e-4;
  double dropout_rate = 0;  ///< In training, in all places of docs/model.md, "Dropout".

  bool is_moe_layer(int layer) const { return (layer + 1) % moe_layer_interval == 0; }
  bool operator==(const ModelConfig&) const = default;
};

/// "openmoe-base", "openmoe-8b", "openmoe-34b", and for tests and the quickstart "openmoe-nano", "openmoe-micro".
/// Throws std::invalid_argument naming the known presets.
ModelConfig model_preset(const std::string& name);
std::vector<std::string> model_preset_names();

}  // namespace millrace
