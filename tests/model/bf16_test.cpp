#include "model/bf16.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/ops/gemm.h"
#include "tests/model/test_support.h"
#include "trainer/optimizer/adafactor.h"

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

enum class Way { nn, nt, tn };

/// Reference: the product of the rounded factors, in double.
double plain(Way way, const Matrix<float>& a, const Matrix<float>& b, Index i, Index j, Index inner) {
  double sum = 0;
  for (Index k = 0; k < inner; ++k) {
    const float left = way == Way::tn ? a.row(k)[i] : a.row(i)[k];
    const float right = way == Way::nt ? b.row(j)[k] : b.row(k)[j];
    sum += static_cast<double>(widened(rounded(left))) * widened(rounded(right));
  }
  return sum;
}

class Bf16Product : public ::testing::TestWithParam<Way> {};

TEST_P(Bf16Product, IsTheObviousProductOfRoundedFactorsForAnyShape) {
  struct Shape {
    Index rows, columns, inner;
  };
  const Way way = GetParam();
  for (const auto& [m, n, k] : {Shape{1, 1, 1}, {3, 5, 7}, {130, 33, 65}, {17, 300, 64}, {400, 16, 96}}) {
    const auto a = random_matrix<float>(way == Way::tn ? k : m, way == Way::tn ? m : k, 1);
    const auto b = random_matrix<float>(way == Way::nt ? n : k, way == Way::nt ? k : n, 2);
    Image<float> image_a, image_b;
    const Factor<float> left = image_a.of(a.view(), Precision::bf16);
    const Factor<float> right = image_b.of(b.view(), Precision::bf16);
    Matrix<float> c(m, n);
    for (const Into into : {Into::overwrite, Into::add}) {
      if (way == Way::nn) matmul_nn(left, right, c.view(), into);
      if (way == Way::nt) matmul_nt(left, right, c.view(), into);
      if (way == Way::tn) matmul_tn(left, right, c.view(), into);
      const double times = into == Into::add ? 2 : 1;
      for (Index i = 0; i < m; ++i) {
        for (Index j = 0; j < n; ++j) ASSERT_NEAR(c.row(i)[j], times * plain(way, a, b, i, j, k), 1e-4);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, Bf16Product, ::testing::Values(Way::nn, Way::nt, Way::tn));

ModelConfig middling() {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 700;
  config.hidden_size = 96;
  config.head_dim = 24;
  config.intermediate_size = 150;
  config.router_group_size = 300;
  return config;
}

ParameterMemory<float> with_images(const ModelConfig& config) {
  const auto drawn = random_parameters<float>(config, 3);
  ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::allocated, Precision::bf16);
  for (std::size_t i = 0; i < memory.views().all.size(); ++i) {
    const Parameter<float>& parameter = memory.views().all[i];
    for (Index j = 0; j < parameter.spec.size(); ++j) {
      const float scale = parameter.spec.shape.size() == 1 ? 1.0F : 0.2F;
      parameter.value[j] = scale * drawn.views().all[i].value[j];
    }
  }
  memory.round_values();
  return memory;
}

std::vector<float> weights_after(const ModelConfig& config, int steps, int threads) {
  omp_set_num_threads(threads);
  auto memory = with_images(config);
  Transformer<float> model(config, memory.views());
  Adafactor optimizer(memory.views());
  std::vector<float> all;
  for (int step = 0; step < steps; ++step) {
    const RandomBatch batch(3, 150, config.vocab_size, static_cast<std::uint64_t>(step) + 1);
    memory.zero_gradients();
    all.push_back(static_cast<float>(model.forward_backward(batch.view(), 1.0).total));
    optimizer.update(memory.views(), 0.01);
    memory.round_values();
  }
  for (const Parameter<float>& parameter : memory.views().all) {
    all.insert(all.end(), parameter.value, parameter.value + parameter.spec.size());
  }
  omp_set_num_threads(omp_get_num_procs());
  return all;
}

void expect_same_bits(const ModelConfig& config, int steps) {
  const std::vector<float> one = weights_after(config, steps, 1);
  for (const int threads : {2, 3}) {
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
  auto half = with_images(config);
  ParameterMemory<float> full(config, ParameterMemory<float>::Gradients::allocated);
  for (std::size_t i = 0; i < full.views().all.size(); ++i) {
    const Parameter<float>& from = half.views().all[i];
    std::copy_n(from.value, from.spec.size(), full.views().all[i].value);
  }
  const Losses losses = Transformer<float>(config, half.views()).forward_backward(batch.view(), 1.0);
  const Losses expected = Transformer<float>(config, full.views()).forward_backward(batch.view(), 1.0);
  EXPECT_NEAR(losses.total / expected.total, 1.0, 5e-3);
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < full.views().all.size(); ++i) {
    const Parameter<float>& a = half.views().all[i];
    const Parameter<float>& b = full.views().all[i];
    for (Index j = 0; j < a.spec.size(); ++j) {
      difference += std::pow(static_cast<double>(a.grad[j]) - b.grad[j], 2);
      norm += std::pow(static_cast<double>(b.grad[j]), 2);
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
