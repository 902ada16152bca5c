#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "model/matrix.h"
#include "model/parameters/parameter.h"
#include "model/pass/batch_on_device.h"
#include "model/transformer/transformer.h"

namespace millrace::test {

/// A number in [0, 1) for each (seed, index): enough to fill test inputs.
inline double uniform(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed * 0x9e3779b97f4a7c15U + index * 0xd1b54a32d192ed03U + 0x2545f4914f6cdd1dU;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

template <class Scalar>
Matrix<Scalar> random_matrix(Index rows, Index columns, std::uint64_t seed, double scale = 1.0) {
  Matrix<Scalar> matrix(rows, columns);
  for (Index i = 0; i < rows * columns; ++i) {
    matrix.data()[i] = static_cast<Scalar>(scale * (2 * uniform(seed, static_cast<std::uint64_t>(i)) - 1));
  }
  return matrix;
}

template <class Scalar>
Matrix<Scalar> zeros(Index rows, Index columns) {
  Matrix<Scalar> matrix(rows, columns);
  matrix.fill(0);
  return matrix;
}

/// The precision in which everything is of this type.
template <class Scalar>
inline constexpr Precision kPrecisionOf = std::is_same_v<Scalar, double> ? Precision::f64 : Precision::f32;

/// A tensor over a test's memory.
template <class Scalar>
Tensor tensor_over(Matrix<Scalar>& matrix) {
  constexpr Type kType = std::is_same_v<Scalar, double>  ? Type::f64
                         : std::is_same_v<Scalar, float> ? Type::f32
                                                         : Type::bf16;
  return {matrix.data(), kType, matrix.rows(), matrix.columns(), matrix.columns()};
}

/// A parameter with memory of its own.
template <class Scalar>
struct OwnedParameter {
  Matrix<Scalar> value, gradient;
  Parameter view;

  OwnedParameter(std::vector<std::int64_t> shape, std::uint64_t seed, double scale = 1.0, bool per_expert = false) {
    view.spec.shape = std::move(shape);
    view.spec.per_expert = per_expert;
    value = random_matrix<Scalar>(1, view.spec.size(), seed, scale);
    gradient = zeros<Scalar>(1, view.spec.size());
    view.value = parameter_tensor(view.spec, value.data(), tensor_over(value).type);
    view.gradient = parameter_tensor(view.spec, gradient.data(), tensor_over(value).type);
  }
};

/// The numbers of a parameter's value or gradient.
template <class Scalar>
std::span<Scalar> numbers_of(const Tensor& tensor) {
  return {static_cast<Scalar*>(tensor.data), static_cast<std::size_t>(tensor.size())};
}

/// A model's parameters with gradients, on a device of their own.
struct Weights {
  std::unique_ptr<CpuDevice> device;
  std::unique_ptr<ParameterMemory> memory;

  Weights(const ModelConfig& config, Precision precision, ProductSource source = ProductSource::onednn)
      : device(std::make_unique<CpuDevice>(precision, source)),
        memory(std::make_unique<ParameterMemory>(*device, config, ParameterMemory::Gradients::allocated)) {}
  const Parameters& views() const { return memory->views(); }
};

/// All parameters of a model, with small random values, so that none is a special case.
template <class Scalar>
Weights random_parameters(const ModelConfig& config, std::uint64_t seed, ProductSource source = ProductSource::onednn) {
  Weights weights(config, kPrecisionOf<Scalar>, source);
  std::uint64_t tensor = 0;
  for (const Parameter& parameter : weights.views().all) {
    const bool gain = parameter.spec.shape.size() == 1;
    const std::uint64_t own = seed + 1000 * ++tensor;
    std::uint64_t i = 0;
    for (Scalar& value : numbers_of<Scalar>(parameter.value)) {
      const double number = 2 * uniform(own, i++) - 1;
      value = static_cast<Scalar>(gain ? 1 + 0.3 * number : 0.45 * number);
    }
  }
  return weights;
}

/// The largest |numeric - analytic| / (|numeric| + |analytic| + floor) of d loss / d values[i], by central differences.
inline double gradient_error(double* values, Index count, const double* analytic, const std::function<double()>& loss,
                             double floor = 1e-4, Index stride = 1) {
  constexpr double kStep = 1e-5;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);  // Thousands of tiny passes.
  double worst = 0;
  for (Index i = 0; i < count; i += stride) {
    const double kept = values[i];
    values[i] = kept + kStep;
    const double above = loss();
    values[i] = kept - kStep;
    const double below = loss();
    values[i] = kept;
    const double numeric = (above - below) / (2 * kStep);
    worst = std::max(worst, std::abs(numeric - analytic[i]) / (std::abs(numeric) + std::abs(analytic[i]) + floor));
  }
  omp_set_num_threads(threads);
  return worst;
}

/// Sum of the products of two equal shapes: a loss whose gradient is `weights`.
inline double weighted_sum(const Matrix<double>& values, const Matrix<double>& weights) {
  double sum = 0;
  for (Index i = 0; i < values.rows() * values.columns(); ++i) sum += values.data()[i] * weights.data()[i];
  return sum;
}

/// Rows without padding, each one segment.
inline BatchLayout full_rows(int rows, int length) {
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(rows) * static_cast<std::size_t>(length), 1);
  BatchLayout layout;
  describe({rows, length, tokens.data(), nullptr, nullptr, nullptr, nullptr}, layout);
  return layout;
}

/// What a layer needs beside its weights and input, for a layout of the test's own.
struct TestPass {
  ModelConfig config;
  BatchOnDevice batch;
  Pass pass;

  TestPass(Device& device, const ModelConfig& model, const BatchLayout& layout, Mode mode = Mode::train)
      : config(model), batch(device, config), pass(batch.load(layout, mode, nullptr)) {}
};

/// Random rows with next-token labels, all of weight 1.
struct RandomBatch {
  std::vector<std::int32_t> tokens, labels;
  std::vector<float> weights;
  int rows, length;

  RandomBatch(int batch_rows, int row_length, int vocabulary, std::uint64_t seed)
      : rows(batch_rows), length(row_length) {
    const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
    for (std::size_t i = 0; i < count; ++i) {
      tokens.push_back(1 + static_cast<std::int32_t>(uniform(seed, i) * (vocabulary - 1)));
      labels.push_back(1 + static_cast<std::int32_t>(uniform(seed + 1, i) * (vocabulary - 1)));
      weights.push_back(1.0F);
    }
    for (int row = 0; row < rows; ++row) tokens[static_cast<std::size_t>(row * length)] = 0;
  }
  TokenBatch view() const { return {rows, length, tokens.data(), labels.data(), weights.data(), nullptr, nullptr}; }
};

}  // namespace millrace::test
