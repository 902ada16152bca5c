#pragma once

#include <filesystem>
#include <string>

#include "model/config/model_config.h"

namespace millrace {

/// Reads an OpenMoE config.json: the released router_* names and the older ones (topk, capacity_factor_train, ...).
/// capacity_rule is "colossalai" when absent. Keys that change nothing here (architectures, torch_dtype, ...) are
/// passed over, and so is label_smoothing, which released configs set but training never used. A value that asks for
/// arithmetic this program does not do is refused: tied embeddings, RoPE scaling, fewer KV heads, another activation,
/// noise in the router. Throws ConfigError with `where` and the key.
ModelConfig parse_model_config(const std::string& text, const std::string& where);

/// Reads `folder`/config.json. Throws ConfigError, also if there is no such file.
ModelConfig load_model_config(const std::filesystem::path& folder);

/// The text of a config.json that parse_model_config reads back, with the keys of released ones.
std::string model_config_json(const ModelConfig& config);

/// The keys of config.json that differ: "hidden_size is 768, expected 64, ..." for `is` and `expected`.
std::string model_difference(const ModelConfig& is, const ModelConfig& expected);

const char* name_of(CapacityRule rule);  ///< "colossalai", "flaxformer", "dropless".
/// Throws ConfigError with `where`.
CapacityRule capacity_rule_of(const std::string& name, const std::string& where);

/// Refuses a configuration no model can be built from (a count < 1, an odd head_dim, a product beyond what is counted
/// in, ...). Throws ConfigError with
/// `where` and the key.
void check_model_config(const ModelConfig& config, const std::string& where);

}  // namespace millrace
