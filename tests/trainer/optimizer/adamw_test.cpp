#include "trainer/optimizer/adamw.h"

#include <cmath>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/parameters/parameter_spec.h"
#include "stages/errors.h"
#include "tests/trainer/tensors.h"

namespace millrace {
namespace {

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
  Tensors tensors({tensor});
  tensors.draw(7, 0.5, 0.01);
  AdamW fast(tensors.views, kSettings);
  SlowAdamW slow;
  std::vector<double> expected = part(tensors.values[0], 0, tensors.values[0].size());
  for (std::uint64_t step = 0; step < 8; ++step) {
    const double rate = 0.01 / static_cast<double>(step + 1);
    tensors.draw_gradients(step, std::pow(10.0, -static_cast<double>(step)));
    fast.update(tensors.views, rate);
    slow.update(expected, part(tensors.grads[0], 0, tensors.grads[0].size()), rate, weight_decay);
  }
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(static_cast<double>(tensors.values[0][i]), expected[i], 1e-6) << i;
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

TEST(AdamW, GoesOnFromItsStateAndItsStepsAlone) {
  Tensors whole({spec("m", {40, 50})});
  whole.draw(3, 1, 0.1);
  Tensors halves = whole;
  halves.point();
  AdamW of_whole(whole.views, kSettings);
  AdamW first(halves.views, kSettings);
  AdamW second(halves.views, kSettings);
  of_whole.update(whole.views, 0.1);
  first.update(halves.views, 0.1);
  for (std::size_t i = 0; i < first.state().size(); ++i)
    std::copy_n(first.state()[i].data, first.state()[i].size(), second.state()[i].data);
  second.set_steps(first.steps());
  of_whole.update(whole.views, 0.1);
  second.update(halves.views, 0.1);
  EXPECT_EQ(halves.values, whole.values);
}

TEST(AdamW, HasTheSameBitsOnOneThreadAndOnThree) {
  const std::vector<ParameterSpec> specs{spec("m", {301, 257}), spec("v", {200'003}), spec("e", {4, 33, 65}, true)};
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    Tensors tensors(specs);
    tensors.draw(11, 0.1, 0.01);
    AdamW adamw(tensors.views, kSettings);
    for (int step = 0; step < 3; ++step) adamw.update(tensors.views, 0.01);
    return tensors.values;
  };
  const auto one = run(1);
  EXPECT_EQ(one, run(3));
  EXPECT_EQ(one, run(2));
}

TEST(AdamW, RefusesWhatCannotBe) {
  const Tensors tensors({spec("m", {2, 2})});
  EXPECT_THROW(AdamW(tensors.views, {.beta1 = 1}), ConfigError);
  EXPECT_THROW(AdamW(tensors.views, {.beta2 = -0.1}), ConfigError);
  EXPECT_THROW(AdamW(tensors.views, {.eps = 0}), ConfigError);
  EXPECT_THROW(AdamW(tensors.views, {.weight_decay = -1}), ConfigError);
}

TEST(ScaleGradients, ScalesTheNormOfAll) {
  Tensors tensors({spec("m", {301, 257}), spec("v", {5})});
  tensors.draw(2, 1, 3);
  const double norm = gradient_norm(tensors.views);
  scale_gradients(tensors.views, 1 / norm);
  EXPECT_NEAR(gradient_norm(tensors.views), 1, 1e-6);
}

}  // namespace
}  // namespace millrace
