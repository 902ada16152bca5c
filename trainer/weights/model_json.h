#pragma once

#include <filesystem>
#include <string>

#include "model/config/model_config.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// Reads an OpenMoE config.json: the released router_* names and the older ones (topk, capacity_factor_train, ...).
/// capacity_rule is "colossalai" when absent. Keys that change nothing here (architectures, torch_dtype, ...) are
/// ignored, and so is label_smoothing, which released configs set but training never used. A value that needs
/// arithmetic that is not implemented here is refused: tied embeddings, RoPE scaling, fewer KV heads, another
/// activation, noise in the router. Throws ConfigError with `where` and the key.
ModelConfig parse_model_config(const std::string& text, const std::string& where);

/// Reads `folder`/config.json. Throws ConfigError, also if there is no such file.
ModelConfig load_model_config(const std::filesystem::path& folder);

/// The text of a config.json, with all keys that the released code reads, and the weights' type as transformers calls
/// it
/// ("float32"); parse_model_config reads it back.
std::string model_config_json(const ModelConfig& config, TensorType type = TensorType::f32);

/// Why weights of one model are not the other's: "hidden_size is 768, expected 64, ..." for `is` and `expected`. Keys
/// that may change while a model is trained, factors of losses and the dropout rate, count for nothing. Empty: they
/// are.
std::string model_difference(const ModelConfig& is, const ModelConfig& expected);

/// Refuses a configuration that no model can be built from: a value out of its key's range, numbers of heads or
/// parameters that overflow. Throws ConfigError with `where` and the key.
void check_model_config(const ModelConfig& config, const std::string& where);

}  // namespace millrace
