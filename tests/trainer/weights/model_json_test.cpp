#include "trainer/weights/model_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/parameters/parameter_spec.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

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

/// Of the 8B model, as in the code of the released checkpoints.
constexpr const char* kReleased = R"({
  "architectures": ["OpenMoeForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling_openmoe.OpenMoeForCausalLM"},
  "attention_bias": false, "bos_token_id": 0, "dropout_rate": 0.0, "enable_comm_overlap": false,
  "enable_hierarchical_alltoall": false, "enable_kernel": false, "enable_load_balance": false, "eos_token_id": 1,
  "expert_parallel": null, "head_dim": 128, "hidden_act": "swiglu", "hidden_size": 2048, "initializer_range": 0.02,
  "intermediate_size": 8192, "label_smoothing": 0.001, "layer_norm_epsilon": 1e-06, "load_balance_beam_width": 8,
  "load_balance_group_swap_factor": 0.4, "load_balance_tolerance": 0.1, "max_position_embeddings": 2048,
  "mlp_gated": true, "model_type": "llama", "moe_layer_interval": 6, "num_attention_heads": 24, "num_experts": 32,
  "num_hidden_layers": 24, "num_key_value_heads": 24, "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-06,
  "rope_scaling": null, "rope_theta": 10000.0, "router_aux_loss_factor": 0.01, "router_capacity_factor_eval": 2.0,
  "router_capacity_factor_train": 1.25, "router_drop_tks": true, "router_min_capacity": 4,
  "router_noisy_policy": null, "router_topk": 2, "router_z_loss_factor": 0.0001, "tie_word_embeddings": false,
  "torch_dtype": "float32", "transformers_version": "4.34.0", "use_cache": true, "vocab_size": 256384,
  "z_loss_factor": 0.01
})";

TEST(ConfigJson, ReadsAReleasedOneAsThe8BWithTheReleasedCapacity) {
  ModelConfig expected = model_preset("openmoe-8b");
  expected.capacity_rule = CapacityRule::colossalai;
  expected.z_loss_factor = 0.01;
  EXPECT_EQ(parse_model_config(kReleased, "here"), expected);
  EXPECT_EQ(parameter_count(parse_model_config(kReleased, "here")), 11'855'046'656);
}

TEST(ConfigJson, WritesEveryKeyOfAReleasedOneThatSaysWhatIsComputed) {
  nlohmann::json keys = nlohmann::json::parse(kReleased);
  // These affect how other programs load or train it, not what it computes.
  for (const char* other : {"auto_map", "initializer_range", "load_balance_beam_width",
                            "load_balance_group_swap_factor", "load_balance_tolerance", "transformers_version"})
    keys.erase(other);
  const nlohmann::json written = released();
  for (const auto& [key, value] : keys.items()) EXPECT_TRUE(written.contains(key)) << key;
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

TEST(ConfigJson, RoutesPaddingUnlessToldNotTo) {
  nlohmann::json json = released();
  EXPECT_TRUE(parse_model_config(kReleased, "here").pads_routed);
  json["pads_routed"] = false;
  const ModelConfig config = parse_model_config(json.dump(), "here");
  EXPECT_FALSE(config.pads_routed);
  EXPECT_EQ(parse_model_config(model_config_json(config), "here"), config);
  json["pads_routed"] = 1;
  expect_refused(json, "pads_routed");
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

TEST(ConfigJson, IsThatOfTheSameWeightsWhateverMayChangeWhileAModelIsTrained) {
  const ModelConfig before = model_preset("openmoe-nano");
  ModelConfig now = before;
  now.router_aux_loss_factor = now.router_z_loss_factor = now.z_loss_factor = now.dropout_rate = 0.5;
  EXPECT_EQ(model_difference(before, now), "");
  now.router_group_size = 7;
  EXPECT_EQ(model_difference(before, now), "router_group_size is 4096, expected 7");
}

TEST(ConfigJson, HasEveryKeyThatTheReleasedCodeReads) {
  // colossalai, branch my_openmoe: what modeling_openmoe.py takes from its configuration, and set_moe_args puts there.
  const nlohmann::json json = released();
  for (const char* key : {"vocab_size",
                          "hidden_size",
                          "intermediate_size",
                          "num_hidden_layers",
                          "num_attention_heads",
                          "num_key_value_heads",
                          "head_dim",
                          "max_position_embeddings",
                          "hidden_act",
                          "mlp_gated",
                          "rms_norm_eps",
                          "layer_norm_epsilon",
                          "rope_theta",
                          "rope_scaling",
                          "attention_bias",
                          "tie_word_embeddings",
                          "initializer_range",
                          "num_experts",
                          "moe_layer_interval",
                          "router_topk",
                          "router_capacity_factor_train",
                          "router_capacity_factor_eval",
                          "router_min_capacity",
                          "router_noisy_policy",
                          "router_drop_tks",
                          "router_aux_loss_factor",
                          "router_z_loss_factor",
                          "z_loss_factor",
                          "label_smoothing",
                          "dropout_rate",
                          "expert_parallel",
                          "enable_load_balance",
                          "load_balance_tolerance",
                          "load_balance_beam_width",
                          "load_balance_group_swap_factor",
                          "enable_kernel",
                          "enable_comm_overlap",
                          "enable_hierarchical_alltoall",
                          "pretraining_tp",
                          "use_cache",
                          "bos_token_id",
                          "eos_token_id",
                          "pad_token_id",
                          "torch_dtype"})
    EXPECT_TRUE(json.contains(key)) << key;
}

TEST(ConfigJson, RefusesAFolderWithoutOneAndAFile) {
  const TemporaryFolder folder;
  const auto refusal = [](const std::filesystem::path& path) -> std::string {
    try {
      load_model_config(path);
      return "accepted";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_NE(refusal(folder.path()).find("no readable config.json"), std::string::npos);
  const std::string of_file = refusal(folder.write("pytorch_model.bin", "PK"));
  EXPECT_NE(of_file.find("a checkpoint is a folder"), std::string::npos) << of_file;
  EXPECT_NE(of_file.find("millrace import"), std::string::npos) << of_file;
}

}  // namespace
}  // namespace millrace
