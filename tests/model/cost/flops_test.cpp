#include "model/cost/flops.h"

#include <gtest/gtest.h>

#include "model/cost/peak_flops.h"

namespace millrace {
namespace {

ModelConfig three_layers() {
  ModelConfig config;
  config.vocab_size = 100;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 2;
  config.head_dim = 5;
  config.num_experts = 4;
  config.moe_layer_interval = 3;
  return config;
}

/// A product of `rows` positions with a weight matrix, forward and backward.
double linear(double rows, double in, double out) {
  return 6 * rows * in * out;
}

TEST(ProductOperations, AreThoseOfEachProductOfAStep) {
  const double positions = 7, pairs = 28, routed = 9, with_loss = 5;
  double expected = 0;
  for (int layer = 0; layer < 3; ++layer) {
    expected += 3 * linear(positions, 8, 10) + linear(positions, 10, 8);                         // q, k, v, o
    expected += linear(pairs, 10, 1) + linear(pairs, 1, 10);                                     // scores, sums
    expected += linear(positions, 8, 24) + linear(positions, 8, 12) + linear(positions, 12, 8);  // gate, up, down
  }
  expected += linear(positions, 8, 4);  // router
  expected += linear(routed, 8, 24) + linear(routed, 8, 12) + linear(routed, 12, 8);
  expected += linear(with_loss, 8, 100);  // head
  EXPECT_DOUBLE_EQ(product_operations(three_layers(), {positions, with_loss, pairs, routed}), expected);
}

TEST(MachineLimit, IsARateThatAMachineCanHave) {
  const double rate = product_rate(Precision::f32, 64, 0);
  EXPECT_GT(rate, 1e6);
  EXPECT_LT(rate, 1e16);
}

}  // namespace
}  // namespace millrace
