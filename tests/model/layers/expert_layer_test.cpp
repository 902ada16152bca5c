#include "model/layers/expert_layer.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

/// An MoE layer on random weights.
struct Layer {
  const std::string prefix = "model.layers.1.mlp.";
  ModelConfig config;
  ParameterMemory<double> memory;
  ExpertLayer<double> experts;
  ExpertLayer<double>::Saved saved;
  ExpertLayer<double>::Scratch scratch;

  explicit Layer(const ModelConfig& model)
      : config(model), memory(random_parameters<double>(config, 5)), experts(config, memory.views(), prefix) {}
};

ModelConfig small(CapacityRule rule, int experts, double factor) {
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 5;
  config.intermediate_size = 3;
  config.num_experts = experts;
  config.capacity_rule = rule;
  config.router_capacity_factor_train = factor;
  config.router_min_capacity = 1;
  return config;
}

/// The slow reference version: every token through each of its kept experts, one product at a time.
Matrix<double> plain(Layer& layer, const Matrix<double>& x) {
  const int hidden = layer.config.hidden_size;
  const int inner = layer.config.intermediate_size;
  const auto& routing = layer.saved.routing;
  auto y = zeros<double>(x.rows(), hidden);
  for (std::size_t pair = 0; pair < routing.kept.size(); ++pair) {
    if (routing.kept[pair] == 0) continue;
    const auto t = static_cast<Index>(pair) / routing.choices;
    const std::int32_t e = routing.expert[pair];
    const double* gate = layer.memory.views().named(layer.prefix + "experts.wi_gate").value + e * hidden * 2 * inner;
    const double* up = layer.memory.views().named(layer.prefix + "experts.wi_up").value + e * hidden * inner;
    const double* down = layer.memory.views().named(layer.prefix + "experts.wo").value + e * hidden * inner;
    for (int f = 0; f < inner; ++f) {
      double v = 0, g = 0, u = 0;
      for (int h = 0; h < hidden; ++h) {
        v += x.row(t)[h] * gate[h * 2 * inner + f];
        g += x.row(t)[h] * gate[h * 2 * inner + inner + f];
        u += x.row(t)[h] * up[h * inner + f];
      }
      const double value = v * g / (1 + std::exp(-g)) * u * routing.probabilities.row(t)[e];
      for (int h = 0; h < hidden; ++h) y.row(t)[h] += value * down[f * hidden + h];
    }
  }
  return y;
}

void expect_layer(const ModelConfig& config, bool drops) {
  Layer layer(config);
  auto x = random_matrix<double>(9, 5, 7, 1.5);
  const auto dy = random_matrix<double>(9, 5, 8);
  const BatchLayout layout = full_rows(1, 9);
  Matrix<double> y(9, 5);
  const auto loss = [&] {
    layer.experts.forward(x.view(), layout, Mode::train, layer.saved, y.view());
    return weighted_sum(y, dy) + 0.2 * layer.saved.routing.statistics.aux_loss +
           0.1 * layer.saved.routing.statistics.z_loss;
  };
  loss();
  EXPECT_EQ(layer.saved.routing.statistics.dropped > 0, drops);
  const auto expected = plain(layer, x);
  for (Index i = 0; i < 45; ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], 1e-13);
  Matrix<double> dx(9, 5);
  layer.experts.backward(dy.view(), x.view(), layer.saved, {0.2, 0.1}, layer.scratch, dx.view());
  EXPECT_LT(gradient_error(x.data(), 45, dx.data(), loss), 1e-5);
  for (const char* name : {"gate_weight", "experts.wi_gate", "experts.wi_up", "experts.wo"}) {
    Parameter<double>& weight = layer.memory.views().named(layer.prefix + name);
    EXPECT_LT(gradient_error(weight.value, weight.spec.size(), weight.grad, loss), 1e-5) << name;
  }
}

TEST(ExpertLayer, WithoutDropsMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::dropless, 4, 1.25), false);
}
TEST(ExpertLayer, WithDropsMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::flaxformer, 4, 0.5), true);
}
TEST(ExpertLayer, WithOneExpertMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::colossalai, 1, 2.0), false);
}

}  // namespace
}  // namespace millrace
