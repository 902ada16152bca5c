#include "model/layers/head.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

constexpr double kZ = 0.05;

/// Both passes, and then what they tell.
Head::Sums evaluated(Head& head, const Pass& pass, const Tensor& a, const Head::Targets& targets,
                     const Head::PerPosition& results = {}) {
  Head::Told told;
  head.forward(pass, a, targets, results, told);
  return told.sums();
}
Head::Sums trained(Head& head, const Pass& pass, const Tensor& a, const Head::Targets& targets,
                   const Head::PerPosition& results, double scale, const Tensor& da) {
  Head::Told told;
  head.forward_backward(pass, a, targets, results, scale, da, told);
  return told.sums();
}

struct SmallHead {
  CpuDevice device{Precision::f64};
  OwnedParameter<double> weight{{7, 4}, 1};
  Head loss{device, weight.view, kZ};
  TestPass test{device, model_preset("openmoe-micro"), full_rows(1, 6)};
  Matrix<double> a = random_matrix<double>(6, 4, 2);
  std::vector<std::int32_t> labels{0, 6, 3, 2, 2, 5};
  std::vector<float> weights{1, 0, 0.5F, 2, 1, 0};
};

TEST(Head, IsTheWeightedMeanOfNegativeLogProbabilities) {
  SmallHead head;
  std::vector<float> ce(6);
  std::vector<std::uint8_t> correct(6);
  const auto sums = evaluated(head.loss, head.test.pass, tensor_over(head.a), {head.labels.data(), head.weights.data()},
                              {ce.data(), correct.data()});
  double expected = 0;
  double square = 0;
  for (Index t = 0; t < 6; ++t) {
    double sum = 0;
    double label = 0;
    double largest = -1e9;
    for (Index v = 0; v < 7; ++v) {
      double logit = 0;
      for (Index h = 0; h < 4; ++h) logit += head.a.row(t)[h] * head.weight.value.data()[v * 4 + h];
      sum += std::exp(logit);
      largest = std::max(largest, logit);
      if (v == head.labels[static_cast<std::size_t>(t)]) label = logit;
    }
    const double w = head.weights[static_cast<std::size_t>(t)];
    expected += w * (std::log(sum) - label) / 4.5;
    square += w * std::log(sum) * std::log(sum) / 4.5;
    EXPECT_NEAR(ce[static_cast<std::size_t>(t)], w == 0 ? 0 : std::log(sum) - label, 1e-6);
    EXPECT_EQ(correct[static_cast<std::size_t>(t)], w != 0 && label == largest);
  }
  EXPECT_NEAR(sums.ce, expected, 1e-13);
  EXPECT_NEAR(sums.square, square, 1e-13);
  EXPECT_EQ(sums.weight, 4.5);
}

TEST(Head, GradientMatchesFiniteDifferences) {
  SmallHead head;
  const Head::Targets targets{head.labels.data(), head.weights.data()};
  const auto loss = [&] {
    const auto sums = evaluated(head.loss, head.test.pass, tensor_over(head.a), targets);
    return 3 * (sums.ce + kZ * sums.square);
  };
  Matrix<double> da(6, 4);
  trained(head.loss, head.test.pass, tensor_over(head.a), targets, {}, 3.0, tensor_over(da));
  EXPECT_LT(gradient_error(head.a.data(), 24, da.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(head.weight.value.data(), 28, head.weight.gradient.data(), loss), 1e-6);
}

TEST(Head, WithoutLossTokensIsZero) {
  SmallHead head;
  head.weights.assign(6, 0);
  Matrix<double> da(6, 4);
  const auto sums = trained(head.loss, head.test.pass, tensor_over(head.a), {head.labels.data(), head.weights.data()},
                            {}, 1, tensor_over(da));
  EXPECT_EQ(sums.ce, 0.0);
  EXPECT_EQ(da.data()[0], 0.0);
}

TEST(Head, WorksThroughChunksAsThroughOne) {
  CpuDevice device(Precision::f32);
  OwnedParameter<float> weight({50, 8}, 1);
  Head loss(device, weight.view, 0.0);
  auto a = random_matrix<float>(2500, 8, 2);
  const TestPass test(device, model_preset("openmoe-micro"), full_rows(1, 2500));
  std::vector<std::int32_t> labels(2500, 3);
  std::vector<float> weights(2500, 1);
  const auto whole = evaluated(loss, test.pass, tensor_over(a), {labels.data(), weights.data()});
  double sum = 0;
  for (Index t = 0; t < 2500; ++t)
    sum += evaluated(loss, test.pass, tensor_over(a).row_range(t, 1), {labels.data(), weights.data()}).ce;
  EXPECT_NEAR(whole.ce, sum / 2500, 1e-5);
}

/// Whether position 0 counts as correct in both passes; `logits` are those of its row, the label is 1.
bool is_correct(const std::vector<float>& logits) {
  const auto rows = static_cast<Index>(logits.size());
  OwnedParameter<float> weight({rows, 1}, 1);
  std::copy(logits.begin(), logits.end(), weight.value.data());
  CpuDevice device(Precision::f32);
  Head loss(device, weight.view, 0.0);
  const TestPass test(device, model_preset("openmoe-micro"), full_rows(1, 1));
  Matrix<float> a(1, 1), da(1, 1);
  a.fill(1);
  const std::int32_t label = 1;
  const float full = 1;
  std::uint8_t in_evaluation = 2, in_training = 2;
  evaluated(loss, test.pass, tensor_over(a), {&label, &full}, {nullptr, &in_evaluation});
  trained(loss, test.pass, tensor_over(a), {&label, &full}, {nullptr, &in_training}, 1, tensor_over(da));
  EXPECT_EQ(in_evaluation, in_training);
  return in_training == 1;
}

TEST(Head, CountsAPositionAsCorrectOnlyWhereNoOtherLogitIsAsLarge) {
  EXPECT_TRUE(is_correct({0, 2, 1, 1}));
  EXPECT_FALSE(is_correct({0, 2, 3, 1}));
  EXPECT_FALSE(is_correct({0, 2, 2, 1}));
  EXPECT_FALSE(is_correct({2, 2, 2, 2})) << "a model that knows nothing";
  EXPECT_FALSE(is_correct({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(Head, CountsNoPositionAsCorrectWhoseLogitsAreNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& logits : {std::vector<float>{nan, 2, 1}, {0, nan, 1}, {0, 2, nan}, {0, infinite, 1}})
    EXPECT_FALSE(is_correct(logits));
}

TEST(Head, RefusesALabelWithoutARow) {
  SmallHead head;
  head.labels[3] = 7;
  EXPECT_THROW(evaluated(head.loss, head.test.pass, tensor_over(head.a), {head.labels.data(), head.weights.data()}),
               std::out_of_range);
}

}  // namespace
}  // namespace millrace
