#pragma once

#include <filesystem>
#include <string>

#include "model/config/model_config.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Throws ConfigError unless the model has as many embedding rows as the vocabulary needs. `model_from` names where
/// the model's size is written.
void check_vocabulary_size(const ModelConfig& model, const std::string& model_from, const Vocabulary& vocabulary,
                           const std::filesystem::path& vocabulary_file);

/// As above for a checkpoint's folder; also refuses a vocabulary of the right size whose hash is not the one in the
/// checkpoint, if that has one.
void check_vocabulary_of_checkpoint(const ModelConfig& model, const std::filesystem::path& checkpoint,
                                    const Vocabulary& vocabulary, const std::filesystem::path& vocabulary_file);

}  // namespace millrace
