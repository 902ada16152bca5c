#include "model/layers/feed_forward.h"

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

TEST(FeedForward, GradientMatchesFiniteDifferences) {
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 5;
  config.intermediate_size = 3;
  const Weights weights = random_parameters<double>(config, 9);
  const std::string norm = "model.layers.0.post_attention_layernorm.weight";
  const FeedForward network(config, weights.views(), norm, "model.layers.0.mlp.");
  BatchLayout layout = full_rows(1, 7);
  layout.real[6] = 0;
  const TestPass test(*weights.device, config, layout);
  FeedForward::Saved saved(*weights.device);
  Scratch scratch(*weights.device);
  auto h = random_matrix<double>(7, 5, 1);
  const auto dy = random_matrix<double>(7, 5, 2);
  Matrix<double> y(7, 5);
  const auto loss = [&] {
    network.forward(test.pass, tensor_over(h), saved, scratch, tensor_over(y));
    return weighted_sum(y, dy);
  };
  loss();
  for (Index j = 0; j < 5; ++j) EXPECT_EQ(y.row(6)[j], h.row(6)[j]) << "padding passes unchanged";
  auto dh = random_matrix<double>(7, 5, 2);
  network.backward(test.pass, tensor_over(h), saved, scratch, tensor_over(dh));
  EXPECT_LT(gradient_error(h.data(), 35, dh.data(), loss), 1e-6);
  for (const std::string& name :
       {norm, std::string("model.layers.0.mlp.gate_proj.weight"), std::string("model.layers.0.mlp.up_proj.weight"),
        std::string("model.layers.0.mlp.down_proj.weight")}) {
    const Parameter& weight = weights.views().named(name);
    EXPECT_LT(gradient_error(numbers_of<double>(weight.value).data(), weight.spec.size(),
                             numbers_of<double>(weight.gradient).data(), loss),
              1e-6)
        << name;
  }
}

}  // namespace
}  // namespace millrace
