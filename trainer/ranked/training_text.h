#pragma once

#include <string>
#include <utility>

#include "model/config/model_config.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// A model and how it is trained as JSON, with every key, for ranks that have no run file: read back, they are the
/// same.
std::string text_of_training(const ModelConfig& model, const TrainConfig& train);
std::pair<ModelConfig, TrainConfig> training_in(const std::string& text);

}  // namespace millrace
