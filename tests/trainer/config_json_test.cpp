#include "trainer/config_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"

namespace millrace {
namespace {

nlohmann::json released() {
  return nlohmann::json::parse(model_config_json(model_preset("openmoe-8b")));
}

void expect_refused(const nlohmann::json& json, const std::string& word) {
  try {
    parse_model_config(json.dump(), "config.json");
    FAIL() << "accepted; expected a word about " << word;
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(ConfigJson, ReadsBackEveryPreset) {
  for (const char* name : {"openmoe-base", "openmoe-8b", "openmoe-34b", "openmoe-nano", "openmoe-micro"}) {
    const ModelConfig config = model_preset(name);
    EXPECT_EQ(parse_model_config(model_config_json(config), "here"), config) << name;
  }
}

TEST(ConfigJson, TakesTheReleasedCapacityRuleWhenNoneIsWritten) {
  nlohmann::json json = released();
  json.erase("capacity_rule");
  json.erase("router_group_size");
  EXPECT_EQ(parse_model_config(json.dump(), "here").capacity_rule, CapacityRule::colossalai);
}

TEST(ConfigJson, ReadsTheOlderNames) {
  nlohmann::json json = released();
  for (const char* key : {"router_topk", "router_capacity_factor_train", "router_min_capacity"}) json.erase(key);
  json["topk"] = 1;
  json["capacity_factor_train"] = 1.5;
  json["min_capacity"] = 8;
  const ModelConfig config = parse_model_config(json.dump(), "here");
  EXPECT_EQ(config.router_topk, 1);
  EXPECT_EQ(config.router_capacity_factor_train, 1.5);
  EXPECT_EQ(config.router_min_capacity, 8);
}

TEST(ConfigJson, KeepsEveryTokenWhenDroppingIsOff) {
  nlohmann::json json = released();
  json["router_drop_tks"] = false;
  EXPECT_EQ(parse_model_config(json.dump(), "here").capacity_rule, CapacityRule::dropless);
}

TEST(ConfigJson, RefusesWhatItCannotComputeNamingTheKey) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{{"tie_word_embeddings", true},
                                                                                      {"num_key_value_heads", 4},
                                                                                      {"hidden_act", "gelu"},
                                                                                      {"rope_scaling", {{"factor", 2}}},
                                                                                      {"head_dim", 3},
                                                                                      {"hidden_size", "big"},
                                                                                      {"hidden_size", 1e3},
                                                                                      {"vocab_size", 5'000'000'000},
                                                                                      {"num_experts", 0},
                                                                                      {"rms_norm_eps", -1},
                                                                                      {"capacity_rule", "dropout"}}) {
    nlohmann::json json = released();
    json[key] = value;
    expect_refused(json, key);
  }
  nlohmann::json json = released();
  json.erase("num_experts");
  expect_refused(json, "\"num_experts\" is missing");
  expect_refused("text", "not a JSON object");
}

TEST(ConfigJson, RefusesAFolderWithoutOne) {
  EXPECT_THROW(load_model_config("/nowhere"), ConfigError);
}

}  // namespace
}  // namespace millrace
