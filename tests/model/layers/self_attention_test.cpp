#include "model/layers/self_attention.h"

#include <cmath>

#include <gtest/gtest.h>

#include "model/ops/attention.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

/// The slow reference version of one head.
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

/// The slow reference gradient of one head: one query at a time, from the start of the row.
struct PlainGradient {
  Matrix<double> dq, dk, dv;

  PlainGradient(const Matrix<double>& q, const Matrix<double>& k, const Matrix<double>& v, const Matrix<double>& d_out,
                const std::vector<std::int32_t>& first_key)
      : dq(zeros<double>(q.rows(), q.columns())),
        dk(zeros<double>(q.rows(), q.columns())),
        dv(zeros<double>(q.rows(), q.columns())) {
    std::vector<double> weight(static_cast<std::size_t>(q.rows())), upstream(weight.size());
    for (Index i = 0; i < q.rows(); ++i) {
      const Index first = first_key[static_cast<std::size_t>(i)];
      double sum = 0, along = 0;
      for (Index j = first; j <= i; ++j) {
        const auto at = static_cast<std::size_t>(j);
        double score = 0;
        upstream[at] = 0;
        for (Index d = 0; d < q.columns(); ++d) {
          score += q.row(i)[d] * k.row(j)[d];
          upstream[at] += d_out.row(i)[d] * v.row(j)[d];
        }
        weight[at] = std::exp(score);
        sum += weight[at];
        along += weight[at] * upstream[at];
      }
      for (Index j = first; j <= i; ++j) {
        const double share = weight[static_cast<std::size_t>(j)] / sum;
        const double d_score = share * (upstream[static_cast<std::size_t>(j)] - along / sum);
        for (Index d = 0; d < q.columns(); ++d) {
          dq.row(i)[d] += d_score * k.row(j)[d];
          dk.row(j)[d] += d_score * q.row(i)[d];
          dv.row(j)[d] += share * d_out.row(i)[d];
        }
      }
    }
  }
};

/// A row of 2048 positions: two segments and 48 pads.
std::vector<std::int32_t> long_row_segments() {
  std::vector<std::int32_t> segments(2048, 1);
  std::fill(segments.begin() + 1300, segments.end(), 2);
  std::fill(segments.begin() + 2000, segments.end(), 0);
  return segments;
}

BatchLayout long_row() {
  const std::vector<std::int32_t> tokens(2048, 1), segments = long_row_segments();
  BatchLayout layout;
  describe({1, 2048, tokens.data(), nullptr, nullptr, segments.data(), nullptr}, layout);
  return layout;
}

TEST(AttentionHead, BlocksOfALongRowAreTheSlowVersionForwardAndBackward) {
  const BatchLayout layout = long_row();
  const auto q = random_matrix<double>(2048, 4, 1);
  const auto k = random_matrix<double>(2048, 4, 2);
  const auto v = random_matrix<double>(2048, 4, 3);
  const auto d_out = random_matrix<double>(2048, 4, 4);
  Matrix<double> out(2048, 4), log_sum(1, 2048), dq(2048, 4);
  auto dk = zeros<double>(2048, 4), dv = zeros<double>(2048, 4);
  HeadScratch<double> scratch;
  const KeyRange keys{layout.first_key.data(), 0};
  head_forward<double>(q.view(), k.view(), v.view(), keys, scratch, out.view(), log_sum.data());
  head_backward<double>(
      {q.view(), k.view(), v.view(), out.view(), d_out.view(), log_sum.data(), dq.view(), dk.view(), dv.view()}, keys,
      scratch);
  const auto expected = plain_head(q, k, v, layout.first_key, 0);
  const PlainGradient gradient(q, k, v, d_out, layout.first_key);
  for (Index i = 0; i < 2048 * 4; ++i) {
    ASSERT_NEAR(out.data()[i], expected.data()[i], 1e-12) << i;
    ASSERT_NEAR(dq.data()[i], gradient.dq.data()[i], 1e-12) << i;
    ASSERT_NEAR(dk.data()[i], gradient.dk.data()[i], 1e-11) << i;
    ASSERT_NEAR(dv.data()[i], gradient.dv.data()[i], 1e-11) << i;
  }
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

Matrix<double> head_of(const Matrix<double>& all, Index head, Index width) {
  Matrix<double> part(all.rows(), width);
  for (Index i = 0; i < all.rows(); ++i) std::copy_n(all.row(i) + head * width, width, part.row(i));
  return part;
}

void put_head(const Matrix<double>& part, Index head, Matrix<double>& all) {
  for (Index i = 0; i < all.rows(); ++i) std::copy_n(part.row(i), part.columns(), all.row(i) + head * part.columns());
}

/// |a - b| / |b| over all numbers.
double relative_difference(const float* a, const Matrix<double>& b) {
  double difference = 0, norm = 0;
  for (Index i = 0; i < b.rows() * b.columns(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b.data()[i], 2);
    norm += b.data()[i] * b.data()[i];
  }
  return std::sqrt(difference / norm);
}

/// bf16 has 8 significant bits, an error of 0.2 % per factor; outputs and gradients stay within 1 % of the slow version
/// in double.
TEST(Attention, OfBf16InBlocksOverALongRowIsNearTheSlowVersionInDouble) {
  constexpr double kTolerance = 0.01;
  constexpr Index kLength = 2048;
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 24;
  config.head_dim = 8;
  const Index heads = config.num_attention_heads, width = heads * config.head_dim, hidden = config.hidden_size;
  const std::string prefix = "model.layers.0.self_attn.";
  auto exact = random_parameters<double>(config, 9);
  ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::allocated, Precision::bf16);
  for (std::size_t p = 0; p < exact.views().all.size(); ++p) {
    const Parameter<double>& from = exact.views().all[p];
    for (Index i = 0; i < from.spec.size(); ++i) memory.views().all[p].value[i] = static_cast<float>(from.value[i]);
  }
  memory.round_values();
  const BatchLayout layout = long_row();
  const auto x = random_matrix<double>(kLength, hidden, 2);
  const auto dy = random_matrix<double>(kLength, hidden, 3);
  const auto x_float = random_matrix<float>(kLength, hidden, 2);
  const auto dy_float = random_matrix<float>(kLength, hidden, 3);

  const Attention<float> attention(config, memory.views(), prefix);
  Rope<float> rope(config.head_dim, config.rope_theta);
  rope.reserve(kLength);
  Attention<float>::Saved saved;
  Attention<float>::Scratch scratch;
  Matrix<float> y(kLength, hidden), dx(kLength, hidden);
  Image<float> x_image, dy_image;
  const Factor<float> input = x_image.of(x_float.view(), Precision::bf16);
  attention.forward(input, layout, rope, saved, y.view());
  attention.backward(dy_image.of(dy_float.view(), Precision::bf16), input, layout, rope, saved, scratch, dx.view());

  const auto weight = [&](const char* name, Index rows, Index columns) {
    return View<const double>(exact.views().named(prefix + name + "_proj.weight").value, rows, columns);
  };
  const auto q_weight = weight("q", width, hidden), k_weight = weight("k", width, hidden),
             v_weight = weight("v", width, hidden), o_weight = weight("o", hidden, width);
  Matrix<double> q(kLength, width), k(kLength, width), v(kLength, width), context(kLength, width);
  Matrix<double> dq(kLength, width), dk(kLength, width), dv(kLength, width), d_context(kLength, width);
  Matrix<double> expected_y(kLength, hidden), expected_dx(kLength, hidden), grad(width, hidden), o_grad(hidden, width);
  Rope<double> exact_rope(config.head_dim, config.rope_theta);
  exact_rope.reserve(kLength);
  matmul_nt(x.view(), q_weight, q.view());
  matmul_nt(x.view(), k_weight, k.view());
  matmul_nt(x.view(), v_weight, v.view());
  matmul_nn(dy.view(), o_weight, d_context.view());
  exact_rope.turn(q.view(), layout.position.data());
  exact_rope.turn(k.view(), layout.position.data());
  for (Index head = 0; head < heads; ++head) {
    const auto part = [&](const Matrix<double>& all) { return head_of(all, head, config.head_dim); };
    put_head(plain_head(part(q), part(k), part(v), layout.first_key, 0), head, context);
    const PlainGradient gradient(part(q), part(k), part(v), part(d_context), layout.first_key);
    put_head(gradient.dq, head, dq);
    put_head(gradient.dk, head, dk);
    put_head(gradient.dv, head, dv);
  }
  matmul_nt(context.view(), o_weight, expected_y.view());
  EXPECT_LT(relative_difference(y.data(), expected_y), kTolerance);
  exact_rope.turn_back(dq.view(), layout.position.data());
  exact_rope.turn_back(dk.view(), layout.position.data());
  matmul_nn(dq.view(), q_weight, expected_dx.view());
  matmul_nn(dk.view(), k_weight, expected_dx.view(), Into::add);
  matmul_nn(dv.view(), v_weight, expected_dx.view(), Into::add);
  EXPECT_LT(relative_difference(dx.data(), expected_dx), kTolerance);
  const auto gradient_of = [&](const char* name) { return memory.views().named(prefix + name + "_proj.weight").grad; };
  for (const auto& [name, d] : {std::pair<const char*, Matrix<double>*>{"q", &dq}, {"k", &dk}, {"v", &dv}}) {
    matmul_tn(d->view(), x.view(), grad.view());
    EXPECT_LT(relative_difference(gradient_of(name), grad), kTolerance) << name;
  }
  matmul_tn(dy.view(), context.view(), o_grad.view());
  EXPECT_LT(relative_difference(gradient_of("o"), o_grad), kTolerance);
}

}  // namespace
}  // namespace millrace
