#pragma once

#include <array>
#include <limits>
#include <utility>

#include "model/config/model_config.h"

namespace millrace {

/// Documentation of a field of ModelConfig. Run files ([model]) and config.json use the same name.
struct ModelKey {
  const char* name;
  const char* unit;  ///< Empty: none.
  const char* meaning;
  const char* older = "";        ///< Its name in older config.json files; empty: the same.
  bool required = false;         ///< config.json must have it.
  const char* fallback = "";     ///< The default in words, where it is not a fixed value.
  bool only_if_changed = false;  ///< run.toml has it only if it differs from the default.
  bool by_phase = false;         ///< It may change while a model is trained.
};

struct ModelCount {
  ModelKey key;
  int ModelConfig::*member;
  int least;
  int most;
  int multiple_of = 1;
};

struct ModelNumber {
  ModelKey key;
  double ModelConfig::*member;
  double least;
  double most;
};

struct ModelFlag {
  ModelKey key;
  bool ModelConfig::*member;
};

struct ModelCapacityRule {
  ModelKey key;
  CapacityRule ModelConfig::*member;
  std::array<std::pair<CapacityRule, const char*>, 3> names;
};

/// Calls `visit` with every field of ModelConfig, as one of the four above. The only list of fields: reading, writing,
/// checking, comparing and documenting a configuration all use it.
template <class Visit>
void for_each_model_field(const Visit& visit) {
  constexpr int kMostInt = std::numeric_limits<int>::max();
  constexpr int kWidest = 1 << 20;
  // Computed in f32, where smaller ones are 0 and larger ones infinite.
  constexpr double kLeastFloat = std::numeric_limits<float>::min();
  constexpr double kMostFloat = std::numeric_limits<float>::max();
  constexpr double kMostDropout = 0.99;
  using Config = ModelConfig;

  visit(ModelCount{{.name = "vocab_size",
                    .unit = "ids",
                    .meaning = "rows of embedding and head",
                    .required = true,
                    .fallback = "what the vocabulary needs",
                    .only_if_changed = true},
                   &Config::vocab_size,
                   1,
                   1 << 28});
  visit(ModelCount{{"hidden_size", "numbers", "width of the stream that all blocks add to", "", true},
                   &Config::hidden_size,
                   1,
                   kWidest});
  visit(ModelCount{{"intermediate_size", "numbers", "width inside a feed-forward network and an expert", "", true},
                   &Config::intermediate_size,
                   1,
                   4 * kWidest});
  visit(ModelCount{
      {"num_hidden_layers", "blocks", "how deep the model is", "", true}, &Config::num_hidden_layers, 1, 10'000});
  visit(ModelCount{{"num_attention_heads", "heads", "times `head_dim` at most 4,194,304", "", true},
                   &Config::num_attention_heads,
                   1,
                   kWidest});
  visit(ModelCount{{"head_dim", "numbers", "width of one head; absent in config.json: `hidden_size` / heads"},
                   &Config::head_dim,
                   2,
                   kWidest,
                   2});
  visit(ModelCount{{"max_position_embeddings", "positions",
                    "the longest text that `generate` makes; a run raises it to its `sequence_length`"},
                   &Config::max_position_embeddings,
                   1,
                   kMostInt});
  visit(ModelNumber{{"rms_norm_eps", "", "what norms add to the mean square", "layer_norm_epsilon"},
                    &Config::rms_norm_eps,
                    kLeastFloat,
                    kMostFloat});
  visit(ModelNumber{{"rope_theta", "", "base of the positions' angles"}, &Config::rope_theta, kLeastFloat, kMostFloat});

  visit(ModelCount{{"num_experts", "experts", "of each MoE layer", "", true}, &Config::num_experts, 1, 256});
  visit(ModelCount{{"moe_layer_interval", "blocks", "layer i from 0 has experts if this divides i + 1", "", true},
                   &Config::moe_layer_interval,
                   1,
                   kMostInt});
  visit(ModelCount{{"router_topk", "experts", "that a token asks for; more than there are means all", "topk"},
                   &Config::router_topk,
                   1,
                   kMostInt});
  visit(ModelNumber{
      {"router_capacity_factor_train", "", "room of an expert in training, 1: even shares", "capacity_factor_train"},
      &Config::router_capacity_factor_train,
      0,
      kMostFloat});
  visit(
      ModelNumber{{"router_capacity_factor_eval", "", "likewise in evaluation and generation", "capacity_factor_eval"},
                  &Config::router_capacity_factor_eval,
                  0,
                  kMostFloat});
  visit(ModelCount{{"router_min_capacity", "tokens", "the least room of an expert", "min_capacity"},
                   &Config::router_min_capacity,
                   0,
                   kMostInt});
  visit(ModelCount{{"router_group_size", "tokens", "most tokens in a pool of `\"flaxformer\"`"},
                   &Config::router_group_size,
                   1,
                   kMostInt});
  visit(ModelFlag{{.name = "pads_routed",
                   .unit = "",
                   .meaning = "padding asks for experts, as in OpenMoE's training",
                   .only_if_changed = true},
                  &Config::pads_routed});
  const auto loss_factor = [&visit](const char* name, const char* meaning, double Config::*member) {
    visit(ModelNumber{{.name = name, .unit = "", .meaning = meaning, .by_phase = true}, member, 0, kMostFloat});
  };
  loss_factor("router_aux_loss_factor", "weight of the balance loss", &Config::router_aux_loss_factor);
  loss_factor("router_z_loss_factor", "weight of the routers' z-loss", &Config::router_z_loss_factor);
  loss_factor("z_loss_factor", "weight of the logits' z-loss", &Config::z_loss_factor);
  visit(ModelNumber{{.name = "dropout_rate",
                     .unit = "",
                     .meaning = "share of numbers that training sets to zero: [places](model.md#dropout)",
                     .only_if_changed = true,
                     .by_phase = true},
                    &Config::dropout_rate,
                    0,
                    kMostDropout});
  visit(ModelCapacityRule{{"capacity_rule", "",
                           "how an expert's room is counted: [model.md](model.md#formulas). Absent in config.json: "
                           "`\"colossalai\"`, or `\"dropless\"` where `router_drop_tks` is false"},
                          &Config::capacity_rule,
                          {{{CapacityRule::colossalai, "colossalai"},
                            {CapacityRule::flaxformer, "flaxformer"},
                            {CapacityRule::dropless, "dropless"}}}});
}

}  // namespace millrace
