#include "model/attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "model/attention_head.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

/// The slow obvious version of one head.
Matrix<double> plain_head(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v,
                          const std::vector<std::int32_t>& first_key, Index start) {
  Matrix<double> out = zeros<double>(q.rows(), q.columns());
  for (Index i = 0; i < q.rows(); ++i) {
    double sum = 0;
    for (Index j = first_key[static_cast<std::size_t>(i)]; j <= start + i; ++j) {
      double score = 0;
      for (Index d = 0; d < q.columns(); ++d) score += q.row(i)[d] * k.row(j)[d];
      sum += std::exp(score);
      for (Index d = 0; d < q.columns(); ++d) out.row(i)[d] += std::exp(score) * v.row(j)[d];
    }
    for (Index d = 0; d < q.columns(); ++d) out.row(i)[d] = sum == 0 ? 0 : out.row(i)[d] / sum;
  }
  return out;
}

void expect_head(const std::vector<std::int32_t>& first_key, Index start) {
  const auto queries = static_cast<Index>(first_key.size());
  const auto q = random_matrix<double>(queries, 4, 1);
  const auto k = random_matrix<double>(start + queries, 4, 2);
  const auto v = random_matrix<double>(start + queries, 4, 3);
  Matrix<double> out(queries, 4);
  Matrix<double> log_sum(1, queries);
  HeadScratch<double> scratch;
  head_forward<double>(q.view(), k.view(), v.view(), {first_key.data(), start}, scratch, out.view(), log_sum.data());
  const auto expected = plain_head(q, k, v, first_key, start);
  for (Index i = 0; i < queries * 4; ++i) ASSERT_NEAR(out.data()[i], expected.data()[i], 1e-12) << i;
}

TEST(AttentionHead, SeesEarlierKeysOnlyWhateverTheLength) {
  for (const std::size_t length : {1U, 63U, 64U, 65U, 130U, 200U}) expect_head(std::vector<std::int32_t>(length, 0), 0);
}

TEST(AttentionHead, StaysWithinSegmentsAndGivesPadsNothing) {
  std::vector<std::int32_t> first_key(150);
  for (std::int32_t i = 0; i < 150; ++i) {
    first_key[static_cast<std::size_t>(i)] = i >= 140 ? i + 1 : i >= 70 ? 70 : i >= 60 ? 60 : 0;
  }
  expect_head(first_key, 0);
}

TEST(AttentionHead, ContinuesAfterCachedKeys) {
  expect_head({0}, 99);
  expect_head(std::vector<std::int32_t>(70, 0), 31);
}

TEST(Attention, GradientMatchesFiniteDifferences) {
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 5;
  config.head_dim = 4;
  auto memory = random_parameters<double>(config, 9);
  const Attention<double> attention(config, memory.views(), "model.layers.0.self_attn.");
  const std::vector<std::int32_t> segments{1, 1, 1, 2, 2, 0, 1, 1, 1, 1, 1, 1};
  const std::vector<std::int32_t> tokens{0, 3, 4, 0, 5, 0, 0, 1, 2, 3, 4, 5};
  BatchLayout layout;
  describe({2, 6, tokens.data(), nullptr, nullptr, segments.data(), nullptr}, layout);
  Rope<double> rope(config.head_dim, config.rope_theta);
  rope.reserve(6);
  auto x = random_matrix<double>(12, 5, 2);
  const auto dy = random_matrix<double>(12, 5, 3);
  Matrix<double> y(12, 5);
  Attention<double>::Saved saved;
  Attention<double>::Scratch scratch;
  const auto loss = [&] {
    attention.forward(x.view(), layout, rope, saved, y.view());
    return weighted_sum(y, dy);
  };
  loss();
  Matrix<double> dx(12, 5);
  attention.backward(dy.view(), x.view(), layout, rope, saved, scratch, dx.view());
  EXPECT_LT(gradient_error(x.data(), 60, dx.data(), loss), 1e-5);
  for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    Parameter<double>& weight = memory.views().named(std::string("model.layers.0.self_attn.") + name + ".weight");
    EXPECT_LT(gradient_error(weight.value, weight.spec.size(), weight.grad, loss), 1e-5) << name;
  }
}

}  // namespace
}  // namespace millrace
