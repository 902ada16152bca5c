#include "model/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/array.h"
#include "model/ops/gemm.h"
#include "model/stop.h"

namespace millrace {

namespace {

/// A block of queries and the keys any of them sees.
struct Block {
  Index query, queries, key, keys;

  /// The keys query i of the block sees: columns from, to of the block's scores.
  Index from(const KeyRange& range, Index i) const {
    return std::min<Index>(range.first_key[query + i], to(range, i) + key) - key;
  }
  Index to(const KeyRange& range, Index i) const { return range.start + query + i + 1 - key; }
};

/// Ends early once a stop is requested.
template <class Work>
void for_blocks(Index queries, const KeyRange& range, const Work& work) {
  for (Index query = 0; query < queries && !stop_requested(); query += kQueryBlock) {
    Block block{query, std::min(kQueryBlock, queries - query), 0, 0};
    const Index end = range.start + block.query + block.queries;
    block.key = std::min<Index>(range.first_key[query], end - 1);
    block.keys = end - block.key;
    work(block);
  }
}

}  // namespace

template <class Scalar>
void head_forward(View<const Scalar> q, View<const Scalar> k, View<const Scalar> v, const KeyRange& keys,
                  HeadScratch<Scalar>& scratch, View<Scalar> out, Scalar* log_sum) {
  for_blocks(q.rows, keys, [&](const Block& block) {
    scratch.scores.reshape(block.queries, block.keys);
    const View<Scalar> scores = scratch.scores.view();
    serial_matmul<Scalar>(q.row_range(block.query, block.queries), Stored::plain, k.row_range(block.key, block.keys),
                          Stored::transposed, scores, Into::overwrite);
    for (Index i = 0; i < block.queries; ++i) {
      const Index from = block.from(keys, i);
      const Index to = block.to(keys, i);
      array_of(scores.row(i), from).setZero();
      array_of(scores.row(i) + to, block.keys - to).setZero();
      log_sum[block.query + i] = std::numeric_limits<Scalar>::infinity();
      if (from == to) continue;
      auto seen = array_of(scores.row(i) + from, to - from);
      const Scalar largest = seen.maxCoeff();
      seen = (seen - largest).exp();
      const Scalar sum = seen.sum();
      seen *= Scalar{1} / sum;
      log_sum[block.query + i] = largest + std::log(sum);
    }
    serial_matmul<Scalar>(scores, Stored::plain, v.row_range(block.key, block.keys), Stored::plain,
                          out.row_range(block.query, block.queries), Into::overwrite);
  });
}

template <class Scalar>
void head_backward(const HeadGradient<Scalar>& head, const KeyRange& keys, HeadScratch<Scalar>& scratch) {
  for_blocks(head.q.rows, keys, [&](const Block& block) {
    scratch.scores.reshape(block.queries, block.keys);
    scratch.gradient.reshape(block.queries, block.keys);
    const View<Scalar> weights = scratch.scores.view();
    const View<Scalar> gradient = scratch.gradient.view();
    const View<const Scalar> q = head.q.row_range(block.query, block.queries);
    const View<const Scalar> k = head.k.row_range(block.key, block.keys);
    const View<const Scalar> v = head.v.row_range(block.key, block.keys);
    const View<const Scalar> d_out = head.d_out.row_range(block.query, block.queries);
    serial_matmul<Scalar>(q, Stored::plain, k, Stored::transposed, weights, Into::overwrite);
    serial_matmul<Scalar>(d_out, Stored::plain, v, Stored::transposed, gradient, Into::overwrite);
    for (Index i = 0; i < block.queries; ++i) {
      const Index from = block.from(keys, i);
      const Index to = block.to(keys, i);
      array_of(weights.row(i), from).setZero();
      array_of(gradient.row(i), from).setZero();
      array_of(weights.row(i) + to, block.keys - to).setZero();
      array_of(gradient.row(i) + to, block.keys - to).setZero();
      const Index width = head.out.columns;
      const Scalar along = (array_of(d_out.row(i), width) * array_of(head.out.row(block.query + i), width)).sum();
      auto weight = array_of(weights.row(i) + from, to - from);
      auto upstream = array_of(gradient.row(i) + from, to - from);
      weight = (weight - head.log_sum[block.query + i]).exp();
      upstream = weight * (upstream - along);
    }
    serial_matmul<Scalar>(gradient, Stored::plain, k, Stored::plain, head.dq.row_range(block.query, block.queries),
                          Into::overwrite);
    serial_matmul<Scalar>(gradient, Stored::transposed, q, Stored::plain, head.dk.row_range(block.key, block.keys),
                          Into::add);
    serial_matmul<Scalar>(weights, Stored::transposed, d_out, Stored::plain, head.dv.row_range(block.key, block.keys),
                          Into::add);
  });
}

template void head_forward<float>(View<const float>, View<const float>, View<const float>, const KeyRange&,
                                  HeadScratch<float>&, View<float>, float*);
template void head_forward<double>(View<const double>, View<const double>, View<const double>, const KeyRange&,
                                   HeadScratch<double>&, View<double>, double*);
template void head_backward<float>(const HeadGradient<float>&, const KeyRange&, HeadScratch<float>&);
template void head_backward<double>(const HeadGradient<double>&, const KeyRange&, HeadScratch<double>&);

}  // namespace millrace
