#include "trainer/weights/model_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/parameters/parameter_spec.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<CapacityRule, const char*>, 3> kRules{{
    {CapacityRule::colossalai, "colossalai"},
    {CapacityRule::flaxformer, "flaxformer"},
    {CapacityRule::dropless, "dropless"},
}};

/// One config.json: typed look-ups that name file and key when they refuse.
class Keys {
 public:
  Keys(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& key, const std::string& reason) const {
    throw ConfigError(fmt::format("{}: \"{}\" {}", where_, key, reason));
  }

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  void read(const char* key, int& value) const {
    if (!has(key)) return;
    const Json& found = json_[key];
    if (!found.is_number_integer()) fail(key, fmt::format("is {}, expected a whole number", found.dump()));
    const bool fits = found.is_number_unsigned()
                          ? found.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<int>::max()}
                          : found.get<std::int64_t>() >= std::numeric_limits<int>::min();
    if (!fits) fail(key, fmt::format("is {}, out of range", found.dump()));
    value = found.get<int>();
  }
  void read(const char* key, double& value) const {
    if (!has(key)) return;
    if (!json_[key].is_number()) fail(key, fmt::format("is {}, expected a number", json_[key].dump()));
    value = json_[key].get<double>();
  }
  /// The released name, else the older one.
  template <class Value>
  void read(const char* key, const char* older, Value& value) const {
    read(has(key) ? key : older, value);
  }
  void require(const char* key, int& value) const {
    if (!has(key)) fail(key, "is missing");
    read(key, value);
  }
  /// Refuses any value but `only` where the key is present.
  void expect(const char* key, const Json& only) const {
    if (has(key) && json_[key] != only) {
      fail(key, fmt::format("is {}; only {} is supported", json_[key].dump(), only.dump()));
    }
  }
  bool flag(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_boolean()) fail(key, fmt::format("is {}, expected true or false", json_[key].dump()));
    return json_[key].get<bool>();
  }
  std::string text(const char* key) const {
    if (!json_[key].is_string()) fail(key, fmt::format("is {}, expected a string", json_[key].dump()));
    return json_[key].get<std::string>();
  }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  std::string where_;
};

void refuse_other_arithmetic(const Keys& keys, const ModelConfig& config) {
  keys.expect("tie_word_embeddings", false);
  keys.expect("attention_bias", false);
  keys.expect("mlp_gated", true);
  keys.expect("gated", true);
  keys.expect("hidden_act", "swiglu");
  keys.expect("num_key_value_heads", config.num_attention_heads);
  for (const char* policy : {"router_noisy_policy", "noisy_policy"}) {
    if (keys.has(policy)) keys.fail(policy, "is set; only null is supported");
  }
  if (keys.has("rope_scaling")) keys.fail("rope_scaling", "is set; only null is supported");
}

}  // namespace

const char* name_of(CapacityRule rule) {
  for (const auto& [known, name] : kRules) {
    if (known == rule) return name;
  }
  throw std::logic_error("a capacity rule without a name");
}

CapacityRule capacity_rule_of(const std::string& name, const std::string& where) {
  for (const auto& [rule, known] : kRules) {
    if (name == known) return rule;
  }
  throw ConfigError(
      fmt::format(R"({}: "capacity_rule" is "{}"; expected "colossalai", "flaxformer" or "dropless")", where, name));
}

void check_model_config(const ModelConfig& config, const std::string& where) {
  const auto need = [&](bool good, const char* key, auto value, const std::string& expected) {
    if (!good) throw ConfigError(fmt::format("{}: \"{}\" is {}; expected {}", where, key, value, expected));
  };
  const auto count = [&](const char* key, int value, int least, int most) {
    need(value >= least && value <= most, key, value, fmt::format("a whole number from {} to {}", least, most));
  };
  constexpr int kMostInt = std::numeric_limits<int>::max();
  constexpr int kWidest = 1 << 20;
  count("vocab_size", config.vocab_size, 1, 1 << 28);
  count("hidden_size", config.hidden_size, 1, kWidest);
  count("intermediate_size", config.intermediate_size, 1, 4 * kWidest);
  count("num_hidden_layers", config.num_hidden_layers, 1, 10'000);
  count("num_attention_heads", config.num_attention_heads, 1, kWidest);
  count("head_dim", config.head_dim, 2, kWidest);
  need(config.head_dim % 2 == 0, "head_dim", config.head_dim, "an even number");
  const std::int64_t width = std::int64_t{config.num_attention_heads} * config.head_dim;
  need(width <= 4 * kWidest, "num_attention_heads",
       fmt::format("{} x head_dim {}", config.num_attention_heads, config.head_dim),
       fmt::format("a product of at most {}", 4 * kWidest));
  count("max_position_embeddings", config.max_position_embeddings, 1, kMostInt);
  count("num_experts", config.num_experts, 1, 256);
  count("moe_layer_interval", config.moe_layer_interval, 1, kMostInt);
  count("router_topk", config.router_topk, 1, kMostInt);
  count("router_group_size", config.router_group_size, 1, kMostInt);
  count("router_min_capacity", config.router_min_capacity, 0, kMostInt);
  const auto number = [&](const char* key, double value, double least, double most) {
    need(value >= least && value <= most, key, value, fmt::format("a number from {} to {:.6g}", least, most));
  };
  // Computed in f32, where smaller ones are 0 and larger ones infinite.
  constexpr double kLeastFloat = std::numeric_limits<float>::min();
  constexpr double kMostFloat = std::numeric_limits<float>::max();
  number("rms_norm_eps", config.rms_norm_eps, kLeastFloat, kMostFloat);
  number("rope_theta", config.rope_theta, kLeastFloat, kMostFloat);
  number("router_capacity_factor_train", config.router_capacity_factor_train, 0, kMostFloat);
  number("router_capacity_factor_eval", config.router_capacity_factor_eval, 0, kMostFloat);
  number("router_aux_loss_factor", config.router_aux_loss_factor, 0, kMostFloat);
  number("router_z_loss_factor", config.router_z_loss_factor, 0, kMostFloat);
  number("z_loss_factor", config.z_loss_factor, 0, kMostFloat);
  double parameters = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) parameters += static_cast<double>(spec.size());
  constexpr double kMostParameters = 1e15;
  need(parameters <= kMostParameters, "num_hidden_layers",
       fmt::format("{}, which makes a model of {:.3g} parameters", config.num_hidden_layers, parameters),
       fmt::format("a model of at most {:.0g}", kMostParameters));
}

ModelConfig parse_model_config(const std::string& text, const std::string& where) {
  const JsonValue parsed = JsonValue::parse(text, {where, 0, ""});
  if (!parsed.json().is_object()) throw ConfigError(where + ": not a JSON object");
  const Keys keys(parsed.json(), where);
  ModelConfig config;
  keys.require("vocab_size", config.vocab_size);
  keys.require("hidden_size", config.hidden_size);
  keys.require("intermediate_size", config.intermediate_size);
  keys.require("num_hidden_layers", config.num_hidden_layers);
  keys.require("num_attention_heads", config.num_attention_heads);
  config.head_dim = config.hidden_size / std::max(config.num_attention_heads, 1);
  keys.read("head_dim", config.head_dim);
  keys.read("max_position_embeddings", config.max_position_embeddings);
  keys.read("rms_norm_eps", "layer_norm_epsilon", config.rms_norm_eps);
  keys.read("rope_theta", config.rope_theta);
  keys.require("num_experts", config.num_experts);
  keys.require("moe_layer_interval", config.moe_layer_interval);
  keys.read("router_topk", "topk", config.router_topk);
  keys.read("router_capacity_factor_train", "capacity_factor_train", config.router_capacity_factor_train);
  keys.read("router_capacity_factor_eval", "capacity_factor_eval", config.router_capacity_factor_eval);
  keys.read("router_min_capacity", "min_capacity", config.router_min_capacity);
  keys.read("router_group_size", config.router_group_size);
  config.pads_routed = keys.flag("pads_routed", config.pads_routed);
  keys.read("router_aux_loss_factor", config.router_aux_loss_factor);
  keys.read("router_z_loss_factor", config.router_z_loss_factor);
  keys.read("z_loss_factor", config.z_loss_factor);
  config.capacity_rule = CapacityRule::colossalai;
  if (keys.has("capacity_rule")) config.capacity_rule = capacity_rule_of(keys.text("capacity_rule"), where);
  if (!keys.flag("router_drop_tks", true) || !keys.flag("drop_tks", true))
    config.capacity_rule = CapacityRule::dropless;
  refuse_other_arithmetic(keys, config);
  check_model_config(config, where);
  return config;
}

ModelConfig load_model_config(const std::filesystem::path& folder) {
  if (std::filesystem::is_regular_file(folder)) {
    throw ConfigError(fmt::format("{}: a file; a checkpoint is a folder with config.json and model.safetensors{}",
                                  folder.string(),
                                  folder.extension() == ".bin" ? ". " + std::string(kHowToConvert) : ""));
  }
  const std::filesystem::path path = folder / "config.json";
  if (!std::filesystem::is_regular_file(path))
    throw ConfigError(fmt::format("{}: no readable config.json; a checkpoint is a folder with one", folder.string()));
  return parse_model_config(read_whole_file(path), path.string());
}

std::string model_config_json(const ModelConfig& config) {
  const nlohmann::ordered_json json{
      {"architectures", {"OpenMoeForCausalLM"}},
      {"model_type", "llama"},
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"num_attention_heads", config.num_attention_heads},
      {"num_key_value_heads", config.num_attention_heads},
      {"head_dim", config.head_dim},
      {"max_position_embeddings", config.max_position_embeddings},
      {"hidden_act", "swiglu"},
      {"mlp_gated", true},
      {"rms_norm_eps", config.rms_norm_eps},
      {"layer_norm_epsilon", config.rms_norm_eps},
      {"rope_theta", config.rope_theta},
      {"rope_scaling", nullptr},
      {"attention_bias", false},
      {"tie_word_embeddings", false},
      {"num_experts", config.num_experts},
      {"moe_layer_interval", config.moe_layer_interval},
      {"router_topk", config.router_topk},
      {"router_capacity_factor_train", config.router_capacity_factor_train},
      {"router_capacity_factor_eval", config.router_capacity_factor_eval},
      {"router_min_capacity", config.router_min_capacity},
      {"router_noisy_policy", nullptr},
      {"router_drop_tks", config.capacity_rule != CapacityRule::dropless},
      {"capacity_rule", name_of(config.capacity_rule)},
      {"router_group_size", config.router_group_size},
      {"pads_routed", config.pads_routed},
      {"router_aux_loss_factor", config.router_aux_loss_factor},
      {"router_z_loss_factor", config.router_z_loss_factor},
      {"z_loss_factor", config.z_loss_factor},
      {"label_smoothing", 0.0},
      {"dropout_rate", 0.0},
      {"expert_parallel", nullptr},
      {"enable_load_balance", false},
      {"enable_kernel", false},
      {"enable_comm_overlap", false},
      {"enable_hierarchical_alltoall", false},
      {"pretraining_tp", 1},
      {"use_cache", true},
      {"bos_token_id", 0},
      {"eos_token_id", 1},
      {"pad_token_id", 0},
      {"torch_dtype", "float32"},
  };
  return json.dump(1) + "\n";
}

std::string model_difference(const ModelConfig& is, const ModelConfig& expected) {
  const auto found = nlohmann::ordered_json::parse(model_config_json(is));
  const auto wanted = nlohmann::ordered_json::parse(model_config_json(expected));
  std::string differences;
  for (const auto& [key, value] : wanted.items()) {
    if (found.value(key, nlohmann::ordered_json()) == value) continue;
    differences += fmt::format("{}{} is {}, expected {}", differences.empty() ? "" : ", ", key,
                               found.value(key, nlohmann::ordered_json()).dump(), value.dump());
  }
  return differences;
}

}  // namespace millrace
