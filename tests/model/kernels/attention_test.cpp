#include "model/kernels/attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "model/pass/rope_table.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

void turn(Device& device, Matrix<double>& x, int head_dim, const std::vector<std::int32_t>& positions, int sign) {
  RopeTable table(device, head_dim, 10000.0);
  table.reserve(*std::ranges::max_element(positions) + 1);
  device.run(TurnHeads{tensor_over(x), table.cosine(), table.sine(), positions.data(), sign}, x.rows());
}

TEST(TurnHeads, TurnsThePairsOfTheTwoHalvesByPositionTimesFrequency) {
  CpuDevice device(Precision::f64);
  Matrix<double> x = random_matrix<double>(1, 8, 1);
  const Matrix<double> before = random_matrix<double>(1, 8, 1);
  turn(device, x, 4, {7}, 1);
  for (int head = 0; head < 2; ++head) {
    for (int j = 0; j < 2; ++j) {
      const double angle = 7 * std::pow(10000.0, -2.0 * j / 4);
      const double first = before.data()[4 * head + j];
      const double second = before.data()[4 * head + j + 2];
      EXPECT_NEAR(x.data()[4 * head + j], first * std::cos(angle) - second * std::sin(angle), 1e-14);
      EXPECT_NEAR(x.data()[4 * head + j + 2], second * std::cos(angle) + first * std::sin(angle), 1e-14);
    }
  }
}

TEST(TurnHeads, TurningBackUndoesTurning) {
  CpuDevice device(Precision::f64);
  Matrix<double> x = random_matrix<double>(100, 12, 1);
  const Matrix<double> before = random_matrix<double>(100, 12, 1);
  std::vector<std::int32_t> positions(100);
  for (int i = 0; i < 100; ++i) positions[static_cast<std::size_t>(i)] = 3 * i;
  turn(device, x, 6, positions, 1);
  turn(device, x, 6, positions, -1);
  for (Index i = 0; i < 1200; ++i) EXPECT_NEAR(x.data()[i], before.data()[i], 1e-14);
}

}  // namespace
}  // namespace millrace
