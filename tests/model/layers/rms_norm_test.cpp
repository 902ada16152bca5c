#include "model/layers/rms_norm.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  CpuDevice device(Precision::f64);
  OwnedParameter<double> gain({3}, 1);
  auto x = random_matrix<double>(1, 3, 2);
  Matrix<double> y(1, 3), inverse(1, 1);
  const TestPass test(device, model_preset("openmoe-micro"), full_rows(1, 1));
  RmsNorm(gain.view, 1e-6).forward(test.pass, tensor_over(x), tensor_over(y), tensor_over(inverse));
  double square = 0;
  for (int j = 0; j < 3; ++j) square += x.data()[j] * x.data()[j] / 3;
  for (int j = 0; j < 3; ++j) {
    EXPECT_NEAR(y.data()[j], x.data()[j] / std::sqrt(square + 1e-6) * gain.value.data()[j], 1e-14);
  }
}

TEST(RmsNorm, GradientMatchesFiniteDifferencesAndPadsGiveNone) {
  CpuDevice device(Precision::f64);
  OwnedParameter<double> gain({5}, 1);
  auto x = random_matrix<double>(130, 5, 2);
  auto dy = random_matrix<double>(130, 5, 3);
  BatchLayout layout = full_rows(1, 130);
  layout.real[7] = layout.real[129] = 0;
  const TestPass test(device, model_preset("openmoe-micro"), layout);
  const RmsNorm norm(gain.view, 1e-6);
  Matrix<double> y(130, 5), inverse(1, 130);
  const auto loss = [&] {
    norm.forward(test.pass, tensor_over(x), tensor_over(y), tensor_over(inverse));
    return weighted_sum(y, dy);
  };
  loss();
  auto dx = zeros<double>(130, 5);
  Buffer pieces(device);
  norm.backward(test.pass, tensor_over(dy), tensor_over(x), tensor_over(inverse), pieces, tensor_over(dx));
  EXPECT_LT(gradient_error(x.data(), 130 * 5, dx.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(gain.value.data(), 5, gain.gradient.data(), loss), 1e-6);
  EXPECT_EQ(dx.row(7)[0], 0.0);
}

}  // namespace
}  // namespace millrace
