#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/device/attention_call.h"
#include "tests/model/device/typed_numbers.h"

namespace millrace::test {

/// q, k and v are windows on one wider matrix where there is no cache.
struct AttentionCase {
  Index rows, heads, width, queries, start;
  TypedNumbers q, k, v, out, log_sum;
  std::vector<std::int32_t> first_key;
  AttentionCall call;

  AttentionCase(Index rows_, Index heads_, Index width_, Index queries_, Index start_, Type type,
                std::uint64_t seed = 1)
      : rows(rows_),
        heads(heads_),
        width(width_),
        queries(queries_),
        start(start_),
        q(type, rows * queries, heads * width, 1, 24),
        k(type, rows * (start + queries), heads * width, 1, 8),
        v(type, rows * (start + queries), heads * width),
        out(type, rows * queries, heads * width, 1, 16),
        log_sum(type == Type::bf16 ? Type::f32 : type, heads, rows * queries) {
    q.fill(seed, 2);
    k.fill(seed + 1, 2);
    v.fill(seed + 2);
    out.fill(seed + 3);
    // Segments of random lengths; in some of them the first positions are padding, which sees nothing.
    for (Index row = 0; row < rows; ++row) {
      Index first = 0;
      for (Index i = 0; i < queries; ++i) {
        const double dice = test::uniform(seed + 9, static_cast<std::uint64_t>(row * queries + i));
        const Index position = start + i;
        if (dice < 0.05) first = position;
        if (dice > 0.97) first = position + 1;
        first_key.push_back(static_cast<std::int32_t>(first));
      }
    }
    call = {rows, heads, start, q.tensor(), k.tensor(), v.tensor(), out.tensor(), log_sum.tensor(), {}};
    call.first_key = {first_key.data(), Type::i32, 1, rows * queries, rows * queries};
  }

  /// Every query sees all keys before it.
  void see_all() {
    std::fill(first_key.begin(), first_key.end(), 0);
    call.is_causal = true;
  }

  /// The largest error of out and of log_sum, against a softmax in double.
  double error() const {
    double worst = 0;
    for (Index row = 0; row < rows; ++row)
      for (Index head = 0; head < heads; ++head)
        for (Index i = 0; i < queries; ++i) worst = std::max(worst, error_of_query(row, head, i));
    return worst;
  }

 private:
  double error_of_query(Index row, Index head, Index i) const {
    const Index at = row * queries + i;
    std::vector<double> weights;
    double sum = 0;
    const Index first = first_key[static_cast<std::size_t>(at)];
    for (Index key = first; key <= start + i; ++key) {
      double score = 0;
      for (Index d = 0; d < width; ++d)
        score += q.get(at, head * width + d) * k.get(row * (start + queries) + key, head * width + d);
      weights.push_back(std::exp(score));
      sum += weights.back();
    }
    double worst = 0;
    for (Index d = 0; d < width; ++d) {
      double expected = 0;
      for (std::size_t w = 0; w < weights.size(); ++w)
        expected += weights[w] / sum * v.get(row * (start + queries) + first + static_cast<Index>(w), head * width + d);
      worst = std::max(worst, std::abs(expected - out.get(at, head * width + d)));
    }
    const double log = log_sum.get(head, at);
    if (weights.empty()) return log == std::numeric_limits<double>::infinity() ? worst : 1;
    return std::max(worst, std::abs(log - std::log(sum)) / 4);
  }
};

inline double attention_tolerance(Type type) {
  return type == Type::f64 ? 1e-12 : (type == Type::f32 ? 5e-6 : 5e-3);
}

/// Gradients of the sum of out * weights.
struct AttentionGradients {
  TypedNumbers d_out, dq, dk, dv;
  AttentionGradient call;

  /// Rows of d_out are `gap` numbers longer than they need be. cuDNN wants a multiple of eight.
  explicit AttentionGradients(const AttentionCase& attention, Index gap = 1, std::uint64_t seed = 50)
      : d_out(attention.call.q.type, attention.call.q.rows, attention.call.q.columns, 1, gap),
        dq(attention.call.q.type, attention.call.q.rows, attention.call.q.columns, 1, 4 * gap),
        dk(attention.call.q.type, attention.call.q.rows, attention.call.q.columns),
        dv(attention.call.q.type, attention.call.q.rows, attention.call.q.columns, 1, 2 * gap) {
    d_out.fill(seed);
    for (TypedNumbers* result : {&dq, &dk, &dv}) result->fill(seed + 1);
    call = {attention.call, d_out.tensor(), dq.tensor(), dk.tensor(), dv.tensor()};
  }
};

}  // namespace millrace::test
