#include "model/bf16.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/optimizer/adafactor.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(widened(rounded(1.0F)), 1.0F);
  EXPECT_EQ(widened(rounded(-3.5F)), -3.5F);
  EXPECT_EQ(widened(rounded(1.0F + 0x1p-8F)), 1.0F);                // A tie, down to even.
  EXPECT_EQ(widened(rounded(1.0F + 3 * 0x1p-8F)), 1.0F + 0x1p-6F);  // A tie, up to even.
  EXPECT_EQ(widened(rounded(1.0F + 0x1.2p-8F)), 1.0F + 0x1p-7F);
  EXPECT_EQ(widened(rounded(std::numeric_limits<float>::infinity())), std::numeric_limits<float>::infinity());
}

ModelConfig middling() {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 700;
  config.hidden_size = 96;
  config.head_dim = 24;
  config.intermediate_size = 150;
  config.router_group_size = 300;
  return config;
}

/// The same values in any precision.
Weights drawn(const ModelConfig& config, Precision precision) {
  const Weights from = random_parameters<float>(config, 3);
  Weights weights(config, precision);
  for (std::size_t i = 0; i < from.views().all.size(); ++i) {
    const Parameter& parameter = weights.views().all[i];
    const float scale = parameter.spec.shape.size() == 1 ? 1.0F : 0.2F;
    std::ranges::transform(numbers_of<float>(from.views().all[i].value), numbers_of<float>(parameter.value).begin(),
                           [scale](float number) { return scale * number; });
  }
  weights.memory->round_values();
  return weights;
}

std::vector<float> weights_after(const ModelConfig& config, int steps, int threads) {
  omp_set_num_threads(threads);
  const Weights weights = drawn(config, Precision::bf16);
  Transformer model(*weights.device, config, weights.views());
  Adafactor optimizer(*weights.device, weights.views());
  std::vector<float> all;
  for (int step = 0; step < steps; ++step) {
    const RandomBatch batch(3, 150, config.vocab_size, static_cast<std::uint64_t>(step) + 1);
    weights.memory->zero_gradients();
    all.push_back(static_cast<float>(model.forward_backward(batch.view(), 1.0).total));
    optimizer.gradient_norm();
    optimizer.update(0.01, 1);
  }
  for (const Parameter& parameter : weights.views().all) {
    const std::span<float> value = numbers_of<float>(parameter.value);
    all.insert(all.end(), value.begin(), value.end());
  }
  omp_set_num_threads(omp_get_num_procs());
  return all;
}

void expect_same_bits(const ModelConfig& config, int steps) {
  const std::vector<float> one = weights_after(config, steps, 1);
  for (const int threads : {2, 3, 8}) {
    const std::vector<float> more = weights_after(config, steps, threads);
    EXPECT_EQ(std::memcmp(one.data(), more.data(), one.size() * sizeof(float)), 0) << threads << " threads";
  }
  EXPECT_TRUE(std::isfinite(one.front()));
}

TEST(Bf16, GivesTheSameLossesAndWeightsOnAnyNumberOfThreads) {
  expect_same_bits(middling(), 2);
}

TEST(Bf16, GivesTheSameLossesAndWeightsAfterFiftyStepsLong) {
  expect_same_bits(middling(), 50);
}

/// Loss and gradients stay close to those in f32, with dropped pairs and padding.
void expect_near_full_precision(const ModelConfig& config, const RandomBatch& batch) {
  const Weights half = drawn(config, Precision::bf16);
  const Weights full = drawn(config, Precision::f32);
  const Losses losses = Transformer(*half.device, config, half.views()).forward_backward(batch.view(), 1.0);
  const Losses expected = Transformer(*full.device, config, full.views()).forward_backward(batch.view(), 1.0);
  EXPECT_NEAR(losses.total / expected.total, 1.0, 5e-3);
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < full.views().all.size(); ++i) {
    const std::span<float> a = numbers_of<float>(half.views().all[i].gradient);
    const std::span<float> b = numbers_of<float>(full.views().all[i].gradient);
    for (std::size_t j = 0; j < a.size(); ++j) {
      difference += std::pow(static_cast<double>(a[j]) - static_cast<double>(b[j]), 2);
      norm += std::pow(static_cast<double>(b[j]), 2);
    }
  }
  EXPECT_LT(std::sqrt(difference / norm), 0.1);
}

TEST(Bf16, StaysNearFullPrecisionWithOneExpertOneRowAndPads) {
  ModelConfig config = middling();
  config.num_experts = 1;
  RandomBatch batch(1, 77, config.vocab_size, 4);
  std::fill(batch.tokens.end() - 9, batch.tokens.end(), 0);
  std::fill(batch.weights.end() - 9, batch.weights.end(), 0.0F);
  expect_near_full_precision(config, batch);
}

TEST(Bf16, StaysNearFullPrecisionWithAndWithoutDroppedPairs) {
  ModelConfig config = middling();
  config.router_aux_loss_factor = 0;
  for (const CapacityRule rule : {CapacityRule::dropless, CapacityRule::flaxformer}) {
    config.capacity_rule = rule;
    expect_near_full_precision(config, RandomBatch(2, 150, config.vocab_size, 4));
  }
}

}  // namespace
}  // namespace millrace
