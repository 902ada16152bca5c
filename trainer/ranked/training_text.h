#pragma once

#include <string>

#include "model/config/model_config.h"
#include "trainer/config/train_config.h"
#include "trainer/ranked/replica.h"

namespace millrace {

/// A model, how it is trained, and by whom.
struct RankedTraining {
  ModelConfig model;
  TrainConfig train;
  RankLayout layout;
};

/// As JSON, with every key, for ranks that have no run file: read back, it is the same.
std::string text_of_training(const RankedTraining& training);
RankedTraining training_in(const std::string& text);

}  // namespace millrace
