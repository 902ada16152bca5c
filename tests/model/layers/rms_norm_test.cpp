#include "model/layers/rms_norm.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  OwnedParameter<double> gain({3}, 1);
  const auto x = random_matrix<double>(1, 3, 2);
  Matrix<double> y(1, 3);
  RmsNorm<double>(gain.view, 1e-6).forward(x.view(), nullptr, y.view());
  double square = 0;
  for (int j = 0; j < 3; ++j) square += x.data()[j] * x.data()[j] / 3;
  for (int j = 0; j < 3; ++j) {
    EXPECT_NEAR(y.data()[j], x.data()[j] / std::sqrt(square + 1e-6) * gain.view.value[j], 1e-14);
  }
}

TEST(RmsNorm, GradientMatchesFiniteDifferencesAndPadsGiveNone) {
  OwnedParameter<double> gain({5}, 1);
  auto x = random_matrix<double>(130, 5, 2);
  const auto dy = random_matrix<double>(130, 5, 3);
  std::vector<std::uint8_t> real(130, 1);
  real[7] = real[129] = 0;
  const RmsNorm<double> norm(gain.view, 1e-6);
  Matrix<double> y(130, 5);
  const auto loss = [&] {
    norm.forward(x.view(), real.data(), y.view());
    return weighted_sum(y, dy);
  };
  auto dx = zeros<double>(130, 5);
  Matrix<double> scratch;
  norm.backward(dy.view(), x.view(), real.data(), scratch, dx.view());
  EXPECT_LT(gradient_error(x.data(), 130 * 5, dx.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(gain.value.data(), 5, gain.grad.data(), loss), 1e-6);
  EXPECT_EQ(dx.row(7)[0], 0.0);
}

}  // namespace
}  // namespace millrace
