#include "model/cost/activated_parameters.h"

#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/parameters/parameter_spec.h"
#include "tests/property.h"

namespace millrace {
namespace {

ModelConfig preset(const char* name) {
  ModelConfig config = model_preset(name);
  config.vocab_size = 256'384;
  return config;
}

double millions(std::int64_t count) {
  return std::round(static_cast<double>(count) / 1e6);
}
double tenths_of_billions(std::int64_t count) {
  return std::round(static_cast<double>(count) / 1e8) / 10;
}

/// #ActParam and #ActParam w/ E of the paper's table 11.
TEST(ActivatedParameters, OfBaseAreThePapersWithAndWithoutTheHead) {
  const ParameterCounts base = parameter_counts(preset("openmoe-base"));
  EXPECT_EQ(millions(base.activated_layers), 142);
  EXPECT_EQ(millions(base.activated()), 339);
}

/// Table 11 has 2.1B and 2.6B of 8B, 6.0B and 6.8B of 34B: fewer than its code uses, but their difference is the head.
TEST(ActivatedParameters, DifferByTheHeadAsThePapersColumnsDo) {
  EXPECT_EQ(tenths_of_billions(parameter_counts(preset("openmoe-8b")).head), 0.5);   // 2.6B - 2.1B
  EXPECT_EQ(tenths_of_billions(parameter_counts(preset("openmoe-34b")).head), 0.8);  // 6.8B - 6.0B
}

TEST(ActivatedParameters, AreAttentionNormsRouterFeedForwardAndTheChosenExperts) {
  const std::int64_t attention = 4 * 2048 * 3072, network = 4 * 2048 * 8192, router = 32 * 2048;
  const ParameterCounts large = parameter_counts(preset("openmoe-8b"));
  EXPECT_EQ(large.activated_layers, 24 * (attention + network + 2 * 2048) + 4 * (2 * network + router + 2048) + 2048);
  EXPECT_EQ(tenths_of_billions(large.activated()), 3.3);
  const ParameterCounts largest = parameter_counts(preset("openmoe-34b"));
  EXPECT_EQ(tenths_of_billions(largest.activated_layers), 8.5);
  EXPECT_EQ(tenths_of_billions(largest.activated()), 9.2);
}

TEST(ActivatedParameters, AreAllWhereATokenIsSentToEveryExpertAndNeverMore) {
  expect_holds(100, [] {
    ModelConfig config = model_preset("openmoe-micro");
    config.num_hidden_layers = *rc::gen::inRange(1, 9);
    config.moe_layer_interval = *rc::gen::inRange(1, 5);
    config.num_experts = *rc::gen::inRange(1, 9);
    config.router_topk = *rc::gen::inRange(1, 12);
    const ParameterCounts counts = parameter_counts(config);
    RC_ASSERT(counts.all() == parameter_count(config));
    RC_ASSERT(counts.activated_layers <= counts.layers);
    const bool uses_all =
        config.router_topk >= config.num_experts || config.moe_layer_interval > config.num_hidden_layers;
    RC_ASSERT((counts.activated_layers == counts.layers) == uses_all);
  });
}

TEST(TrainingOperations, AreSixForEachParameterAndPosition) {
  EXPECT_EQ(training_operations(10, 1e9), 6e10);
}

}  // namespace
}  // namespace millrace
