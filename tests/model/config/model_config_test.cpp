#include "model/config/model_config.h"

#include <cmath>
#include <stdexcept>
#include <tuple>

#include <gtest/gtest.h>

#include "model/parameters/parameter_spec.h"

namespace millrace {
namespace {

TEST(ModelConfig, PresetsHaveTheParametersOfThePublishedCode) {
  EXPECT_EQ(parameter_count(model_preset("openmoe-base")), 799'663'104);
  EXPECT_EQ(parameter_count(model_preset("openmoe-8b")), 11'855'046'656);
  EXPECT_EQ(parameter_count(model_preset("openmoe-34b")), 46'270'737'408);
}

TEST(ModelConfig, PresetsWriteTheCapacityRuleTheyWereTrainedBy) {
  EXPECT_EQ(model_preset("openmoe-8b").capacity_rule, CapacityRule::flaxformer);
  EXPECT_EQ(model_preset("openmoe-8b").router_group_size, 4096);
  EXPECT_EQ(model_preset("openmoe-34b").router_group_size, 8192);
}

TEST(ModelConfig, PutsExpertsInEveryIntervalThLayer) {
  const ModelConfig config = model_preset("openmoe-8b");
  std::vector<int> layers;
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    if (config.is_moe_layer(i)) layers.push_back(i);
  }
  EXPECT_EQ(layers, (std::vector<int>{5, 11, 17, 23}));
}

TEST(ModelConfig, RefusesAnUnknownPresetNamingTheKnownOnes) {
  try {
    model_preset("openmoe-9b");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("openmoe-nano"), std::string::npos) << error.what();
  }
}

TEST(ModelConfig, MarksExpertTensorsAndTheirShapes) {
  for (const ParameterSpec& spec : parameter_specs(model_preset("openmoe-base"))) {
    EXPECT_EQ(spec.per_expert, spec.shape.size() == 3) << spec.name;
    if (spec.name == "model.layers.3.mlp.experts.wi_gate") {
      EXPECT_EQ(spec.shape, (std::vector<std::int64_t>{16, 768, 4096}));
    }
  }
}

/// Of the parameter with this suffix, in the first layer that has it.
ParameterSpec spec_of(const ModelConfig& config, const std::string& ending) {
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (spec.name.ends_with(ending)) return spec;
  }
  throw std::invalid_argument("no parameter " + ending);
}

TEST(ModelConfig, DrawsEveryKindOfParameterByTheTrainedLaw) {
  using Law = Initializer::Law;
  const ModelConfig config = model_preset("openmoe-8b");
  const double h = 2048, f = 8192, a = 24 * 128;  // A is not H here.
  const std::vector<std::tuple<std::string, Law, double>> laws{
      {"embed_tokens.weight", Law::normal, 1},
      {"q_proj.weight", Law::normal, std::sqrt(0.1 / h / 128)},
      {"k_proj.weight", Law::normal, std::sqrt(0.1 / h)},
      {"v_proj.weight", Law::normal, std::sqrt(0.1 / h)},
      {"o_proj.weight", Law::normal, std::sqrt(0.1 / a)},
      {".mlp.gate_proj.weight", Law::truncated_normal, std::sqrt(0.1 / h)},
      {".mlp.up_proj.weight", Law::truncated_normal, std::sqrt(0.1 / h)},
      {".mlp.down_proj.weight", Law::truncated_normal, std::sqrt(0.1 / f)},
      {"extra_mlp.gate_proj.weight", Law::truncated_normal, std::sqrt(0.1 / h)},
      {"extra_mlp.up_proj.weight", Law::truncated_normal, std::sqrt(0.1 / h)},
      {"extra_mlp.down_proj.weight", Law::truncated_normal, std::sqrt(0.1 / f)},
      {"mlp.gate_weight", Law::normal, 0.02},
      {"experts.wi_gate", Law::normal, std::sqrt(0.1 / h)},
      {"experts.wi_up", Law::normal, std::sqrt(0.1 / h)},
      {"experts.wo", Law::normal, std::sqrt(0.1 / f)},
      {"lm_head.weight", Law::truncated_normal, std::sqrt(0.1 / h)},
      {"input_layernorm.weight", Law::ones, 0},
      {"post_attention_layernorm.weight", Law::ones, 0},
      {"pre_extra_mlp_layernorm.weight", Law::ones, 0},
      {"model.norm.weight", Law::ones, 0},
  };
  for (const auto& [ending, law, stddev] : laws) {
    const ParameterSpec spec = spec_of(config, ending);
    EXPECT_EQ(spec.initializer.law, law) << spec.name;
    EXPECT_NEAR(spec.initializer.stddev, stddev, 1e-12) << spec.name;
  }
}

TEST(ModelConfig, PresetsHaveThePublishedSizes) {
  const ModelConfig base = model_preset("openmoe-base");
  EXPECT_EQ(spec_of(base, "q_proj.weight").shape, (std::vector<std::int64_t>{768, 768}));
  EXPECT_EQ(spec_of(base, "experts.wo").shape, (std::vector<std::int64_t>{16, 2048, 768}));
  const ModelConfig large = model_preset("openmoe-8b");
  EXPECT_EQ(spec_of(large, "q_proj.weight").shape, (std::vector<std::int64_t>{3072, 2048}));
  EXPECT_EQ(spec_of(large, "o_proj.weight").shape, (std::vector<std::int64_t>{2048, 3072}));
  EXPECT_EQ(spec_of(large, "experts.wi_gate").shape, (std::vector<std::int64_t>{32, 2048, 16384}));
  const ModelConfig extra_large = model_preset("openmoe-34b");
  EXPECT_EQ(spec_of(extra_large, "mlp.gate_weight").shape, (std::vector<std::int64_t>{32, 3072}));
  EXPECT_EQ(spec_of(extra_large, "lm_head.weight").shape, (std::vector<std::int64_t>{256384, 3072}));
  EXPECT_EQ(extra_large.router_z_loss_factor, 1e-3);
  EXPECT_EQ(large.router_z_loss_factor, 1e-4);
}

}  // namespace
}  // namespace millrace
