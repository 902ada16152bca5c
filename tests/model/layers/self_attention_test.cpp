#include "model/layers/self_attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

const std::string kLayer = "model.layers.0.";

/// An attention layer, with what it keeps, over rows of a layout.
template <class Scalar>
struct AttentionLayer {
  const Weights& weights;
  SelfAttention attention;
  TestPass test;
  SelfAttention::Saved saved;
  Scratch scratch;

  AttentionLayer(const ModelConfig& config, const Weights& of_model, const BatchLayout& layout)
      : weights(of_model),
        attention(config, of_model.views(), kLayer),
        test(*of_model.device, config, layout),
        saved(*of_model.device),
        scratch(*of_model.device) {}

  Matrix<Scalar> forward(Matrix<Scalar>& h) {
    Matrix<Scalar> out(h.rows(), h.columns());
    attention.forward(test.pass, tensor_over(h), saved, scratch, tensor_over(out));
    return out;
  }
};

TEST(SelfAttention, GradientMatchesFiniteDifferences) {
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 5;
  config.head_dim = 4;
  const Weights weights = random_parameters<double>(config, 9);
  const std::vector<std::int32_t> segments{1, 1, 1, 2, 2, 0, 1, 1, 1, 1, 1, 1};
  const std::vector<std::int32_t> tokens{0, 3, 4, 0, 5, 0, 0, 1, 2, 3, 4, 5};
  BatchLayout layout;
  describe({2, 6, tokens.data(), nullptr, nullptr, segments.data(), nullptr}, layout);
  AttentionLayer<double> layer(config, weights, layout);
  auto h = random_matrix<double>(12, 5, 2);
  const auto dy = random_matrix<double>(12, 5, 3);
  const auto loss = [&] { return weighted_sum(layer.forward(h), dy); };
  loss();
  auto dh = random_matrix<double>(12, 5, 3);
  layer.attention.backward(layer.test.pass, tensor_over(h), layer.saved, layer.scratch, tensor_over(dh));
  EXPECT_LT(gradient_error(h.data(), 60, dh.data(), loss), 1e-5);
  for (const char* name : {"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
                           "self_attn.o_proj.weight", "input_layernorm.weight"}) {
    const Parameter& weight = weights.views().named(kLayer + name);
    EXPECT_LT(gradient_error(numbers_of<double>(weight.value).data(), weight.spec.size(),
                             numbers_of<double>(weight.gradient).data(), loss),
              1e-5)
        << name;
  }
}

/// A row of 2048 positions: two segments and 48 pads.
BatchLayout long_row() {
  const std::vector<std::int32_t> tokens(2048, 1);
  std::vector<std::int32_t> segments(2048, 1);
  std::fill(segments.begin() + 1300, segments.end(), 2);
  std::fill(segments.begin() + 2000, segments.end(), 0);
  BatchLayout layout;
  describe({1, 2048, tokens.data(), nullptr, nullptr, segments.data(), nullptr}, layout);
  return layout;
}

/// |a - b| / |b| over all numbers.
template <class A, class B>
double relative_difference(const A& a, const B& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}

/// The residual stream passes through both alike; what attention adds must be near. bf16 has 8 significant bits, an
/// error of 0.2 % for each of the roundings between products; what attention adds and its gradients stay within 2.5 %
/// of those in double.
TEST(SelfAttention, OfBf16OverALongRowIsNearThatInDouble) {
  constexpr Index kLength = 2048;
  constexpr double kTolerance = 0.025;
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 24;
  config.head_dim = 8;
  const Weights exact = random_parameters<double>(config, 9);
  const Weights low(config, Precision::bf16);
  for (std::size_t p = 0; p < exact.views().all.size(); ++p)
    std::ranges::copy(numbers_of<double>(exact.views().all[p].value),
                      numbers_of<float>(low.views().all[p].value).begin());
  low.memory->round_values();
  AttentionLayer<double> exact_layer(config, exact, long_row());
  AttentionLayer<float> low_layer(config, low, long_row());
  auto h = random_matrix<double>(kLength, 24, 2);
  auto h_low = random_matrix<float>(kLength, 24, 2);
  auto dh = random_matrix<double>(kLength, 24, 3);
  auto dh_low = random_matrix<float>(kLength, 24, 3);
  const auto added = [](const auto& out, const auto& in) {
    std::vector<double> difference;
    for (Index i = 0; i < kLength * 24; ++i)
      difference.push_back(static_cast<double>(out.data()[i]) - static_cast<double>(in.data()[i]));
    return difference;
  };
  EXPECT_LT(relative_difference(added(low_layer.forward(h_low), h_low), added(exact_layer.forward(h), h)), kTolerance);
  const auto upstream = random_matrix<double>(kLength, 24, 3);
  const auto upstream_low = random_matrix<float>(kLength, 24, 3);
  exact_layer.attention.backward(exact_layer.test.pass, tensor_over(h), exact_layer.saved, exact_layer.scratch,
                                 tensor_over(dh));
  low_layer.attention.backward(low_layer.test.pass, tensor_over(h_low), low_layer.saved, low_layer.scratch,
                               tensor_over(dh_low));
  EXPECT_LT(relative_difference(added(dh_low, upstream_low), added(dh, upstream)), kTolerance);
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    const auto gradient_in = [&](const Weights& weights) {
      return weights.views().named(kLayer + "self_attn." + name + ".weight").gradient;
    };
    EXPECT_LT(relative_difference(numbers_of<float>(gradient_in(low)), numbers_of<double>(gradient_in(exact))),
              kTolerance)
        << name;
  }
}

}  // namespace
}  // namespace millrace
