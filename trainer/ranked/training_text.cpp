#include "trainer/ranked/training_text.h"

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {

std::string text_of_training(const ModelConfig& model, const TrainConfig& train) {
  Json json;
  model_keys().write_all(model, json["model"]);
  for (const KeyTable<TrainConfig>& keys : train_keys()) keys.write_all(train, json[keys.name()]);
  return json_line(json);
}

std::pair<ModelConfig, TrainConfig> training_in(const std::string& text) {
  const JsonValue json = JsonValue::parse(text, {.name = "what rank 0 says", .line = 0, .remedy = ""});
  ModelConfig model;
  TrainConfig train;
  model_keys().read(json.at("model"), model);
  for (const KeyTable<TrainConfig>& keys : train_keys()) keys.read(json.at(keys.name()), train);
  return {model, train};
}

}  // namespace millrace
