#include "trainer/weights/model_json.h"

#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "model/parameters/parameter_spec.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "trainer/config/model_keys.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

namespace {

/// A key for which only the value that this program implements is accepted.
struct FixedKey {
  const char* name;
  Json value;
  const char* older = "";
};

std::vector<FixedKey> fixed_keys(const ModelConfig& config) {
  return {{"num_key_value_heads", config.num_attention_heads},
          {"hidden_act", "swiglu"},
          {"mlp_gated", true, "gated"},
          {"rope_scaling", nullptr},
          {"attention_bias", false},
          {"tie_word_embeddings", false},
          {"router_noisy_policy", nullptr, "noisy_policy"}};
}

void refuse_other_arithmetic(const JsonValue& object, const ModelConfig& config) {
  for (const FixedKey& key : fixed_keys(config)) {
    for (const char* name : {key.name, key.older}) {
      if (!has_key(object, name) || object.at(name).json() == key.value) continue;
      const bool is_long = object.at(name).json().is_structured();
      throw ConfigError(fmt::format("{}: \"{}\" is {}; only {} is supported", object.place(), name,
                                    is_long ? "a list or an object" : object.at(name).json().dump(), key.value.dump()));
    }
  }
}

/// False: no token is dropped.
bool drops_tokens(const JsonValue& object) {
  bool drops = true;
  for (const char* name : {"router_drop_tks", "drop_tks"})
    if (has_key(object, name)) drops = drops && std::get<bool>(read_key(object, name, {.name = name}));
  return drops;
}

}  // namespace

void check_model_config(const ModelConfig& config, const std::string& where) {
  const auto need = [&](bool good, const char* key, auto value, const std::string& expected) {
    if (!good) throw ConfigError(fmt::format("{}: \"{}\" is {}; expected {}", where, key, value, expected));
  };
  model_keys().check(config, where);
  constexpr std::int64_t kWidest = std::int64_t{1} << 22;
  need(std::int64_t{config.num_attention_heads} * config.head_dim <= kWidest, "num_attention_heads",
       fmt::format("{} x head_dim {}", config.num_attention_heads, config.head_dim),
       fmt::format("a product of at most {}", kWidest));
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
  ModelConfig config;
  config.head_dim = 0;
  model_keys().read(parsed, config);
  if (config.head_dim == 0) config.head_dim = config.hidden_size / config.num_attention_heads;
  if (!drops_tokens(parsed)) config.capacity_rule = CapacityRule::dropless;
  refuse_other_arithmetic(parsed, config);
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

std::string model_config_json(const ModelConfig& config, TensorType type) {
  Json json{{"architectures", {"OpenMoeForCausalLM"}}, {"model_type", "llama"}};
  model_keys().write_all(config, json);
  for (const FixedKey& key : fixed_keys(config)) json[key.name] = key.value;
  json.update(Json{
      {"layer_norm_epsilon", config.rms_norm_eps},
      {"router_drop_tks", config.capacity_rule != CapacityRule::dropless},
      {"label_smoothing", 0.0},
      {"expert_parallel", nullptr},
      {"enable_load_balance", false},
      {"load_balance_tolerance", 0.1},
      {"load_balance_beam_width", 8},
      {"load_balance_group_swap_factor", 0.4},
      {"enable_kernel", false},
      {"enable_comm_overlap", false},
      {"enable_hierarchical_alltoall", false},
      {"initializer_range", 0.02},
      {"pretraining_tp", 1},
      {"use_cache", true},
      {"bos_token_id", 0},
      {"eos_token_id", 1},
      {"pad_token_id", 0},
      {"torch_dtype", type == TensorType::bf16 ? "bfloat16" : "float32"},
  });
  return json.dump(1) + "\n";
}

std::string model_difference(const ModelConfig& is, const ModelConfig& expected) {
  std::string differences;
  for (const auto& key : model_keys().keys()) {
    if (!key.get || key.rule.by_phase || key.get(is) == key.get(expected)) continue;
    differences += fmt::format("{}{} is {}, expected {}", differences.empty() ? "" : ", ", key.rule.name,
                               value_text(key.get(is)), value_text(key.get(expected)));
  }
  return differences;
}

}  // namespace millrace
