#include "model/model_config.h"

#include <stdexcept>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace millrace
