#include "model/kernels/swiglu.h"

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(SwigluRows, MultipliesValueGateAndUpAsTheWorkedExample) {
  CpuDevice device(Precision::f64);
  // x = (1, 1);  v = 0.5 + 0.25, g = 1 + 0.5, u = 2 + 1
  Matrix<double> gated(1, 3), hidden(1, 1);
  gated.data()[0] = 0.75;
  gated.data()[1] = 1.5;
  gated.data()[2] = 3;
  device.run(SwigluRows{tensor_over(gated), tensor_over(hidden)}, 1);
  EXPECT_NEAR(hidden.data()[0], 2.759313857153547, 1e-14);
}

TEST(SwigluRows, GradientMatchesFiniteDifferencesAndMakesHiddenAgain) {
  CpuDevice device(Precision::f64);
  auto gated = random_matrix<double>(7, 12, 1, 3.0);
  auto d_hidden = random_matrix<double>(7, 4, 2);
  Matrix<double> hidden(7, 4), again(7, 4), gradient(7, 12);
  std::copy_n(gated.data(), 84, gradient.data());
  const auto loss = [&] {
    device.run(SwigluRows{tensor_over(gated), tensor_over(hidden)}, 7);
    return weighted_sum(hidden, d_hidden);
  };
  loss();
  device.run(SwigluBackward{tensor_over(gradient), tensor_over(d_hidden), tensor_over(again)}, 7);
  EXPECT_LT(gradient_error(gated.data(), 84, gradient.data(), loss), 1e-6);
  loss();
  for (Index i = 0; i < 28; ++i) EXPECT_EQ(again.data()[i], hidden.data()[i]);
}

TEST(SwigluRows, LeavesRowsBehindTheCountedOnesAlone) {
  CpuDevice device(Precision::f32);
  auto gated = random_matrix<float>(3, 6, 1);
  auto hidden = random_matrix<float>(3, 2, 2);
  const auto before = random_matrix<float>(3, 2, 2);
  const std::int32_t rows = 2;
  device.run(SwigluRows{tensor_over(gated), tensor_over(hidden), &rows}, 3);
  EXPECT_EQ(hidden.row(2)[0], before.row(2)[0]);
  EXPECT_NE(hidden.row(1)[0], before.row(1)[0]);
}

}  // namespace
}  // namespace millrace
