#include "model/layers/experts.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

const std::string kMoeLayer = "model.layers.1.";

/// An MoE layer on random weights.
struct MoeLayer {
  ModelConfig config;
  Weights weights;
  Experts experts;
  Experts::Saved saved;
  Scratch scratch;

  explicit MoeLayer(const ModelConfig& model)
      : config(model),
        weights(random_parameters<double>(config, 5)),
        experts(config, weights.views(), kMoeLayer),
        saved(*weights.device),
        scratch(*weights.device) {}
  std::span<double> values(const std::string& name) const {
    return numbers_of<double>(weights.views().named(kMoeLayer + "mlp." + name).value);
  }
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

/// The slow reference version: every token through each of its kept experts, one product at a time, added to h.
Matrix<double> plain(MoeLayer& layer, const Matrix<double>& h) {
  const int hidden = layer.config.hidden_size;
  const int inner = layer.config.intermediate_size;
  const Tensor x = layer.saved.x.tensor();
  const std::span<std::int32_t> slot = numbers_of<std::int32_t>(layer.saved.routing.slot.tensor());
  const std::span<std::int32_t> expert = numbers_of<std::int32_t>(layer.saved.routing.expert.tensor());
  Matrix<double> y(h.rows(), hidden);
  std::copy_n(h.data(), h.rows() * hidden, y.data());
  for (std::size_t pair = 0; pair < slot.size(); ++pair) {
    if (slot[pair] < 0) continue;
    const Index t = static_cast<Index>(pair) * h.rows() / static_cast<Index>(slot.size());
    const std::int32_t e = expert[pair];
    const double* gate = layer.values("experts.wi_gate").data() + e * hidden * 2 * inner;
    const double* up = layer.values("experts.wi_up").data() + e * hidden * inner;
    const double* down = layer.values("experts.wo").data() + e * hidden * inner;
    const double probability = layer.saved.routing.probabilities.tensor().row<double>(t)[e];
    for (int f = 0; f < inner; ++f) {
      double v = 0, g = 0, u = 0;
      for (int j = 0; j < hidden; ++j) {
        v += x.row<double>(t)[j] * gate[j * 2 * inner + f];
        g += x.row<double>(t)[j] * gate[j * 2 * inner + inner + f];
        u += x.row<double>(t)[j] * up[j * inner + f];
      }
      const double value = v * g / (1 + std::exp(-g)) * u * probability;
      for (int j = 0; j < hidden; ++j) y.row(t)[j] += value * down[f * hidden + j];
    }
  }
  return y;
}

void expect_layer(const ModelConfig& config, bool drops) {
  MoeLayer layer(config);
  Device& device = *layer.weights.device;
  auto h = random_matrix<double>(9, 5, 7, 1.5);
  const auto dy = random_matrix<double>(9, 5, 8);
  TestPass test(device, config, full_rows(1, 9));
  test.pass.scales = {0.2, 0.1};
  Matrix<double> y(9, 5);
  RouterStatistics statistics;
  const auto loss = [&] {
    layer.experts.forward(test.pass, tensor_over(h), layer.saved, layer.scratch, tensor_over(y));
    RoutingCounts counts;
    layer.experts.router().begin_reading(test.pass, layer.saved.routing, counts);
    measure_routing(config, test.pass.layout, test.pass.routing, counts, statistics);
    return weighted_sum(y, dy) + 0.2 * statistics.aux_loss + 0.1 * statistics.z_loss;
  };
  loss();
  EXPECT_EQ(statistics.dropped > 0, drops);
  const auto expected = plain(layer, h);
  for (Index i = 0; i < 45; ++i) EXPECT_NEAR(y.data()[i], expected.data()[i], 1e-13);
  Matrix<double> dh(9, 5);
  std::copy_n(dy.data(), 45, dh.data());
  layer.experts.backward(test.pass, tensor_over(h), layer.saved, layer.scratch, tensor_over(dh));
  EXPECT_LT(gradient_error(h.data(), 45, dh.data(), loss), 1e-5);
  for (const char* name : {"mlp.gate_weight", "mlp.experts.wi_gate", "mlp.experts.wi_up", "mlp.experts.wo",
                           "post_attention_layernorm.weight"}) {
    const Parameter& weight = layer.weights.views().named(kMoeLayer + name);
    EXPECT_LT(gradient_error(numbers_of<double>(weight.value).data(), weight.spec.size(),
                             numbers_of<double>(weight.gradient).data(), loss),
              1e-5)
        << name;
  }
}

TEST(Experts, WithoutDropsMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::dropless, 4, 1.25), false);
}
TEST(Experts, WithDropsMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::flaxformer, 4, 0.5), true);
}
TEST(Experts, WithOneExpertMatchesThePlainSumAndFiniteDifferences) {
  expect_layer(small(CapacityRule::colossalai, 1, 2.0), false);
}

}  // namespace
}  // namespace millrace
