#include "model/ops/rope.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

TEST(Rope, TurnsThePairsOfTheTwoHalvesByPositionTimesFrequency) {
  Rope<double> rope(4, 10000.0);
  rope.reserve(8);
  Matrix<double> x = test::random_matrix<double>(1, 8, 1);
  const Matrix<double> before = test::random_matrix<double>(1, 8, 1);
  const std::int32_t position = 7;
  rope.turn(x.view(), &position);
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

TEST(Rope, TurningBackUndoesTurning) {
  Rope<double> rope(6, 10000.0);
  rope.reserve(300);
  Matrix<double> x = test::random_matrix<double>(100, 12, 1);
  const Matrix<double> before = test::random_matrix<double>(100, 12, 1);
  std::vector<std::int32_t> positions(100);
  for (int i = 0; i < 100; ++i) positions[static_cast<std::size_t>(i)] = 3 * i;
  rope.turn(x.view(), positions.data());
  rope.turn_back(x.view(), positions.data());
  for (Index i = 0; i < 1200; ++i) EXPECT_NEAR(x.data()[i], before.data()[i], 1e-14);
}

}  // namespace
}  // namespace millrace
