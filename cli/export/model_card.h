#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "model/config/model_config.h"

namespace millrace {

/// What README.md beside an exported model says: what the model is and how to use it, and, where a checkpoint tells,
/// what it was trained on: the ledger by phase and corpus, with shares and licences, and the phases' mixes. Corpora
/// have names and licences where the run's folder is still above the checkpoint. Throws ConfigError if the checkpoint's
/// state is damaged.
std::string model_card(const std::filesystem::path& checkpoint, const ModelConfig& config, bool has_tokenizer);

}  // namespace millrace
