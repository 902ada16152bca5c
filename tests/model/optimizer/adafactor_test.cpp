#include "model/optimizer/adafactor.h"

#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/model/optimizer/optimizer_tensors.h"

namespace millrace {
namespace {

using namespace test;

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

struct Shape {
  std::size_t matrices, rows, columns;
  bool factored;
};

/// Runs five steps of both implementations, with gradients counted as `factor` times what they are, and compares every
/// value.
void expect_same_in(Precision precision, double tolerance, const ParameterSpec& tensor, const Shape& shape,
                    double value_scale, double factor) {
  CpuDevice device(precision);
  OptimizerTensors tensors(device, {tensor});
  tensors.draw(7, value_scale, 0.01);
  Adafactor fast(device, tensors.views);
  const std::size_t size = shape.rows * shape.columns;
  std::vector<SlowAdafactor> slow(shape.matrices, SlowAdafactor(shape.rows, shape.columns, shape.factored));
  std::vector<std::vector<double>> expected;
  for (std::size_t m = 0; m < shape.matrices; ++m) expected.push_back(part(tensors.values(0), m * size, size));
  for (std::uint64_t step = 0; step < 5; ++step) {
    tensors.draw_gradients(step, std::pow(10.0, -static_cast<double>(step)));
    step_of(fast, 0.01, factor);
    for (std::size_t m = 0; m < shape.matrices; ++m) {
      std::vector<double> gradient = part(tensors.gradients(0), m * size, size);
      for (double& number : gradient) number *= factor;
      slow[m].update(expected[m], gradient, 0.01);
    }
  }
  const std::vector<double> values = tensors.values(0);
  for (std::size_t m = 0; m < shape.matrices; ++m) {
    const double scale = std::max(SlowAdafactor::rms(expected[m]), 1e-3);
    for (std::size_t i = 0; i < size; ++i)
      ASSERT_NEAR(values[m * size + i], expected[m][i], tolerance * scale) << m << " " << i;
  }
}

void expect_same(const ParameterSpec& tensor, const Shape& shape, double value_scale) {
  for (const double factor : {1.0, 0.3}) {
    expect_same_in(Precision::f32, 2e-6, tensor, shape, value_scale, factor);
    expect_same_in(Precision::bf16, 2e-6, tensor, shape, value_scale, factor);
    expect_same_in(Precision::f64, 1e-13, tensor, shape, value_scale, factor);
  }
}

TEST(Adafactor, FollowsTheFormulasForAFactoredMatrix) {
  expect_same(spec("matrix", {130, 200}), {1, 130, 200, true}, 0.05);
}

TEST(Adafactor, FollowsTheFormulasForAWholeMatrix) {
  expect_same(spec("narrow", {127, 300}), {1, 127, 300, false}, 0.05);
}

TEST(Adafactor, FollowsTheFormulasForAVector) {
  expect_same(spec("norm", {300}), {1, 1, 300, false}, 1.0);
}

TEST(Adafactor, TreatsEachExpertAsItsOwnMatrixWhateverItsSize) {
  expect_same(spec("experts", {3, 16, 24}, true), {3, 16, 24, true}, 0.05);
  expect_same(spec("experts", {2, 150, 257}, true), {2, 150, 257, true}, 0.05);
}

TEST(Adafactor, MovesTensorsNearZeroByTheFloorOfTheParameterScale) {
  expect_same(spec("small", {40}), {1, 1, 40, false}, 1e-6);
}

TEST(Adafactor, NamesAndShapesItsStateAsCheckpointsHoldIt) {
  CpuDevice device(Precision::f32);
  const OptimizerTensors tensors(device, {spec("yes", {128, 160}), spec("no", {127, 512}), spec("norm", {512}),
                                          spec("gate", {32, 512}), spec("experts", {2, 64, 96}, true)});
  const Adafactor adafactor(device, tensors.views);
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> state;
  for (const StateTensor& tensor : adafactor.state()) {
    state.emplace_back(tensor.name, tensor.shape);
    EXPECT_EQ(tensor.size(), tensor.shape[0] * tensor.shape[1]);
  }
  EXPECT_EQ(state, (decltype(state){{"yes.v_row", {1, 128}},
                                    {"yes.v_col", {1, 160}},
                                    {"no.v", {1, 65024}},
                                    {"norm.v", {1, 512}},
                                    {"gate.v", {1, 16384}},
                                    {"experts.v_row", {2, 64}},
                                    {"experts.v_col", {2, 96}}}));
}

TEST(Adafactor, MovesATransposedMatrixAlike) {
  constexpr std::size_t kRows = 160;
  constexpr std::size_t kColumns = 288;
  CpuDevice device(Precision::f32);
  OptimizerTensors wide(device, {spec("m", {kRows, kColumns})});
  OptimizerTensors tall(device, {spec("m", {kColumns, kRows})});
  const auto transposed = [](const std::vector<double>& from) {
    std::vector<double> to(from.size());
    for (std::size_t r = 0; r < kRows; ++r)
      for (std::size_t c = 0; c < kColumns; ++c) to[c * kRows + r] = from[r * kColumns + c];
    return to;
  };
  wide.draw(5, 0.1, 0.01);
  put_all(device, tall.views.all[0].value, transposed(wide.values(0)));
  Adafactor of_wide(device, wide.views);
  Adafactor of_tall(device, tall.views);
  for (std::uint64_t step = 0; step < 3; ++step) {
    wide.draw_gradients(step, 0.01);
    put_all(device, tall.views.all[0].gradient, transposed(wide.gradients(0)));
    step_of(of_wide, 0.01);
    step_of(of_tall, 0.01);
  }
  const std::vector<double> expected = transposed(wide.values(0));
  const std::vector<double> values = tall.values(0);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(values[i], expected[i], 1e-7) << i;
}

TEST(Adafactor, LeavesAMatrixWithoutGradientWhereItIs) {
  CpuDevice device(Precision::f32);
  OptimizerTensors tensors(device, {spec("matrix", {128, 128})});
  tensors.draw(3, 1, 0);
  const std::vector<double> before = tensors.all_values();
  Adafactor adafactor(device, tensors.views);
  step_of(adafactor, 0.01);
  EXPECT_EQ(tensors.all_values(), before);
}

TEST(Adafactor, RefusesToUpdateFromGradientsWhoseNormWasNotAskedFor) {
  CpuDevice device(Precision::f32);
  OptimizerTensors tensors(device, kinds_of_tensors());
  tensors.draw(3, 1, 1);
  Adafactor adafactor(device, tensors.views);
  EXPECT_THROW(adafactor.update(0.01, 1), std::logic_error);
  step_of(adafactor, 0.01);
  EXPECT_THROW(adafactor.update(0.01, 1), std::logic_error);
}

/// The squares of these gradients do not fit into a float.
TEST(Adafactor, ClipsGradientsOfAnySize) {
  CpuDevice device(Precision::f32);
  OptimizerTensors huge(device, kinds_of_tensors());
  OptimizerTensors usual(device, kinds_of_tensors());
  huge.draw(4, 0.1, 0x1p80);
  usual.draw(4, 0.1, 1);
  Adafactor of_huge(device, huge.views);
  Adafactor of_usual(device, usual.views);
  EXPECT_NEAR(of_huge.gradient_norm() * 0x1p-80 / of_usual.gradient_norm(), 1, 1e-12);
  of_huge.update(0.01, 0x1p-80);
  of_usual.update(0.01, 1);
  EXPECT_EQ(all_numbers(huge, of_huge), all_numbers(usual, of_usual));
}

/// The rows' means are finite, and the column would not move.
TEST(Adafactor, RefusesAColumnWhoseMeanNoFloatHolds) {
  CpuDevice device(Precision::f32);
  OptimizerTensors tensors(device, {spec("large", {130, 140})});
  tensors.draw(4, 0.1, 1);
  std::vector<double> gradients = tensors.gradients(0);
  for (std::size_t row = 0; row < 130; ++row) gradients[140 * row] = 3e19;
  put_all(device, tensors.views.all[0].gradient, gradients);
  Adafactor adafactor(device, tensors.views);
  EXPECT_THROW(step_of(adafactor, 0.01), NotFiniteUpdate);
  EXPECT_NO_THROW(step_of(adafactor, 0.01, 1e-3));
}

}  // namespace
}  // namespace millrace
