#include "trainer/ranked/training_text.h"

#include <vector>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {

std::string text_of_training(const RankedTraining& training) {
  Json json;
  model_keys().write_all(training.model, json["model"]);
  for (const KeyTable<TrainConfig>& keys : train_keys()) keys.write_all(training.train, json[keys.name()]);
  const ProcessGrid& grid = training.layout.grid;
  json["ranks"] = {{"data", grid.data}, {"expert", grid.expert}, {"tensor", grid.tensor}, {"pipeline", grid.pipeline}};
  Json& stages = json["stages"] = Json::array();  // Where each ends.
  for (const LayerRange& stage : training.layout.stages) stages.push_back(stage.end);
  return json_line(json);
}

RankedTraining training_in(const std::string& text) {
  const JsonValue json = JsonValue::parse(text, {.name = "what rank 0 says", .line = 0, .remedy = ""});
  RankedTraining training;
  model_keys().read(json.at("model"), training.model);
  for (const KeyTable<TrainConfig>& keys : train_keys()) keys.read(json.at(keys.name()), training.train);
  const JsonValue grid = json.at("ranks");
  training.layout.grid = {.data = grid.get<int>("data"),
                          .expert = grid.get<int>("expert"),
                          .tensor = grid.get<int>("tensor"),
                          .pipeline = grid.get<int>("pipeline")};
  int first = 0;
  for (const int end : json.get<std::vector<int>>("stages")) {
    training.layout.stages.push_back({first, end});
    first = end;
  }
  return training;
}

}  // namespace millrace
