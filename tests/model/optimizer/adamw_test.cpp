#include "model/optimizer/adamw.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/optimizer/optimizer_tensors.h"

namespace millrace {
namespace {

using namespace test;

constexpr AdamW::Settings kSettings{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};

/// Algorithm 2 of arXiv 1711.05101 in double, line by line.
struct SlowAdamW {
  void update(std::vector<double>& value, const std::vector<double>& grad, double learning_rate, double weight_decay) {
    m.resize(value.size());
    v.resize(value.size());
    ++t;
    for (std::size_t i = 0; i < value.size(); ++i) {
      m[i] = kSettings.beta1 * m[i] + (1 - kSettings.beta1) * grad[i];
      v[i] = kSettings.beta2 * v[i] + (1 - kSettings.beta2) * grad[i] * grad[i];
      const double m_hat = m[i] / (1 - std::pow(kSettings.beta1, t));
      const double v_hat = v[i] / (1 - std::pow(kSettings.beta2, t));
      value[i] -= learning_rate * (m_hat / (std::sqrt(v_hat) + kSettings.eps) + weight_decay * value[i]);
    }
  }
  std::vector<double> m, v;
  double t = 0;
};

void expect_same(const ParameterSpec& tensor, double weight_decay) {
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::f64})
    for (const double factor : {1.0, 0.3}) {
      CpuDevice device(precision);
      OptimizerTensors tensors(device, {tensor});
      tensors.draw(7, 0.5, 0.01);
      AdamW fast(device, tensors.views, kSettings);
      SlowAdamW slow;
      std::vector<double> expected = tensors.values(0);
      for (std::uint64_t step = 0; step < 8; ++step) {
        const double rate = 0.01 / static_cast<double>(step + 1);
        tensors.draw_gradients(step, std::pow(10.0, -static_cast<double>(step)));
        step_of(fast, rate, factor);
        std::vector<double> gradient = tensors.gradients(0);
        for (double& number : gradient) number *= factor;
        slow.update(expected, gradient, rate, weight_decay);
      }
      const std::vector<double> values = tensors.values(0);
      for (std::size_t i = 0; i < expected.size(); ++i)
        ASSERT_NEAR(values[i], expected[i], precision == Precision::f64 ? 1e-13 : 1e-6) << i;
    }
}

TEST(AdamW, FollowsTheFormulasForAMatrix) {
  expect_same(spec("matrix", {130, 201}), kSettings.weight_decay);
}

TEST(AdamW, FollowsTheFormulasForExperts) {
  expect_same(spec("experts", {3, 16, 24}, true), kSettings.weight_decay);
}

TEST(AdamW, DecaysNoNorm) {
  expect_same(spec("norm", {300}), 0);
}

TEST(AdamW, NamesAndShapesItsStateAsCheckpointsHoldIt) {
  CpuDevice device(Precision::f32);
  const OptimizerTensors tensors(device, {spec("norm", {5}), spec("experts", {2, 3, 4}, true)});
  const AdamW adamw(device, tensors.views, kSettings);
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> state;
  for (const StateTensor& tensor : adamw.state()) state.emplace_back(tensor.name, tensor.shape);
  EXPECT_EQ(state,
            (decltype(state){{"norm.m", {5}}, {"norm.v", {5}}, {"experts.m", {2, 3, 4}}, {"experts.v", {2, 3, 4}}}));
}

}  // namespace
}  // namespace millrace
