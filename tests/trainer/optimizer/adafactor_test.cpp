#include "trainer/optimizer/adafactor.h"

#include <cmath>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/parameters/parameter_spec.h"
#include "tests/trainer/tensors.h"

namespace millrace {
namespace {

/// Reference: the formulas for one matrix, in double, as written.
struct SlowAdafactor {
  SlowAdafactor(std::size_t row_count, std::size_t column_count, bool is_factored)
      : rows(row_count), columns(column_count), factored(is_factored), v(rows * columns), v_row(rows), v_col(columns) {}

  void update(std::vector<double>& value, const std::vector<double>& grad, double learning_rate) {
    const double beta2 = 1 - std::pow(static_cast<double>(step++) + 1, -0.8);
    std::vector<double> u(grad.size());
    if (factored) {
      std::vector<double> row_mean(rows), col_mean(columns);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < columns; ++c) {
          const double s = grad[r * columns + c] * grad[r * columns + c] + 1e-30;
          row_mean[r] += s / static_cast<double>(columns);
          col_mean[c] += s / static_cast<double>(rows);
        }
      for (std::size_t r = 0; r < rows; ++r) v_row[r] = beta2 * v_row[r] + (1 - beta2) * row_mean[r];
      for (std::size_t c = 0; c < columns; ++c) v_col[c] = beta2 * v_col[c] + (1 - beta2) * col_mean[c];
      double mean = 0;
      for (const double x : v_row) mean += x / static_cast<double>(rows);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < columns; ++c)
          u[r * columns + c] = grad[r * columns + c] / std::sqrt(v_row[r] / mean) / std::sqrt(v_col[c]);
    } else {
      for (std::size_t i = 0; i < grad.size(); ++i) {
        v[i] = beta2 * v[i] + (1 - beta2) * (grad[i] * grad[i] + 1e-30);
        u[i] = grad[i] / std::sqrt(v[i]);
      }
    }
    const double clip = std::max(1.0, rms(u) / 1.0);
    const double scale = std::max(rms(value), 1e-3);
    for (std::size_t i = 0; i < u.size(); ++i) value[i] -= learning_rate * scale * u[i] / clip;
  }

  static double rms(const std::vector<double>& x) {
    double sum = 0;
    for (const double element : x) sum += element * element;
    return std::sqrt(sum / static_cast<double>(x.size()));
  }

  std::size_t rows, columns;
  bool factored;
  std::vector<double> v, v_row, v_col;
  int step = 0;
};

/// Runs five steps of both implementations on a tensor of `matrices` matrices and compares every value.
void expect_same(const ParameterSpec& tensor, std::size_t matrices, std::size_t rows, std::size_t columns,
                 bool factored, double value_scale) {
  Tensors tensors({tensor});
  tensors.draw(7, value_scale, 0.01);
  Adafactor fast(tensors.views);
  const std::size_t size = rows * columns;
  std::vector<SlowAdafactor> slow(matrices, SlowAdafactor(rows, columns, factored));
  std::vector<std::vector<double>> expected;
  for (std::size_t m = 0; m < matrices; ++m) expected.push_back(part(tensors.values[0], m * size, size));
  for (std::uint64_t step = 0; step < 5; ++step) {
    tensors.draw_gradients(step, std::pow(10.0, -static_cast<double>(step)));
    fast.update(tensors.views, 0.01);
    for (std::size_t m = 0; m < matrices; ++m)
      slow[m].update(expected[m], part(tensors.grads[0], m * size, size), 0.01);
  }
  for (std::size_t m = 0; m < matrices; ++m) {
    const double scale = std::max(SlowAdafactor::rms(expected[m]), 1e-3);
    for (std::size_t i = 0; i < size; ++i)
      ASSERT_NEAR(static_cast<double>(tensors.values[0][m * size + i]), expected[m][i], 2e-6 * scale) << m << " " << i;
  }
}

TEST(Adafactor, FollowsTheFormulasForAFactoredMatrix) {
  expect_same(spec("matrix", {130, 200}), 1, 130, 200, true, 0.05);
}

TEST(Adafactor, FollowsTheFormulasForAWholeMatrix) {
  expect_same(spec("narrow", {127, 300}), 1, 127, 300, false, 0.05);
}

TEST(Adafactor, FollowsTheFormulasForAVector) {
  expect_same(spec("norm", {300}), 1, 1, 300, false, 1.0);
}

TEST(Adafactor, TreatsEachExpertAsItsOwnMatrixWhateverItsSize) {
  expect_same(spec("experts", {3, 16, 24}, true), 3, 16, 24, true, 0.05);
}

TEST(Adafactor, MovesTensorsNearZeroByTheFloorOfTheParameterScale) {
  expect_same(spec("small", {40}), 1, 1, 40, false, 1e-6);
}

TEST(Adafactor, FactorsMatricesWhoseSmallerSideIsAtLeast128) {
  Tensors tensors({spec("yes", {128, 128}), spec("no", {127, 512}), spec("norm", {512})});
  Adafactor adafactor(tensors.views);
  std::vector<std::string> names;
  for (const StateTensor& tensor : adafactor.state()) names.push_back(tensor.name);
  EXPECT_EQ(names, (std::vector<std::string>{"yes.v_row", "yes.v_col", "no.v", "norm.v"}));
}

TEST(Adafactor, KeepsTheRouterWholeAndFactorsEveryExpert) {
  Tensors tensors({spec("gate", {32, 512}), spec("experts", {2, 64, 96}, true)});
  Adafactor adafactor(tensors.views);
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> state;
  for (const StateTensor& tensor : adafactor.state()) state.emplace_back(tensor.name, tensor.shape);
  EXPECT_EQ(state, (decltype(state){{"gate.v", {1, 16384}}, {"experts.v_row", {2, 64}}, {"experts.v_col", {2, 96}}}));
}

TEST(Adafactor, MovesATransposedMatrixAlike) {
  constexpr std::size_t kRows = 160;
  constexpr std::size_t kColumns = 288;
  Tensors wide({spec("m", {kRows, kColumns})});
  Tensors tall({spec("m", {kColumns, kRows})});
  const auto transpose = [](const std::vector<float>& from, std::vector<float>& to) {
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t c = 0; c < kColumns; ++c) to[c * kRows + r] = from[r * kColumns + c];
  };
  wide.draw(5, 0.1, 0.01);
  transpose(wide.values[0], tall.values[0]);
  Adafactor of_wide(wide.views);
  Adafactor of_tall(tall.views);
  for (std::uint64_t step = 0; step < 3; ++step) {
    wide.draw_gradients(step, 0.01);
    transpose(wide.grads[0], tall.grads[0]);
    of_wide.update(wide.views, 0.01);
    of_tall.update(tall.views, 0.01);
  }
  std::vector<float> expected(kRows * kColumns);
  transpose(wide.values[0], expected);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(tall.values[0][i], expected[i], 1e-7) << i;
}

TEST(Adafactor, LeavesAMatrixWithoutGradientAlmostWhereItIs) {
  Tensors tensors({spec("matrix", {128, 128})});
  tensors.draw(3, 1, 0);
  const auto before = tensors.values;
  Adafactor adafactor(tensors.views);
  adafactor.update(tensors.views, 0.01);
  EXPECT_EQ(tensors.values, before);
}

TEST(Adafactor, HasTheSameBitsOnOneThreadAndOnThree) {
  const std::vector<ParameterSpec> specs{spec("m", {301, 257}), spec("v", {200'003}), spec("e", {4, 33, 65}, true)};
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    Tensors tensors(specs);
    tensors.draw(11, 0.1, 0.01);
    Adafactor adafactor(tensors.views);
    for (int step = 0; step < 3; ++step) adafactor.update(tensors.views, 0.01);
    return std::pair(tensors.values, gradient_norm(tensors.views));
  };
  const auto one = run(1);
  EXPECT_EQ(one, run(3));
  EXPECT_EQ(one, run(2));
}

}  // namespace
}  // namespace millrace
