#include "model/device/kernel_attention.h"

#include <algorithm>

#include "model/kernels/attention.h"

namespace millrace {
namespace {

AttentionSides sides_of(const AttentionCall& call) {
  return {call.rows, call.heads, call.start, call.q.rows / call.rows, call.q.columns / call.heads};
}

/// Some rows of a call.
AttentionCall part_of(const AttentionCall& call, Index first, Index count) {
  const AttentionSides sides = sides_of(call);
  const auto of_queries = [&](const Tensor& all) {
    return all.row_range(first * sides.queries, count * sides.queries);
  };
  const auto of_keys = [&](const Tensor& all) { return all.row_range(first * sides.keys(), count * sides.keys()); };
  AttentionCall part = call;
  part.rows = count;
  part.q = of_queries(call.q);
  part.k = of_keys(call.k);
  part.v = of_keys(call.v);
  part.out = of_queries(call.out);
  part.log_sum = call.log_sum.column_range(first * sides.queries, count * sides.queries);
  part.first_key = call.first_key.column_range(first * sides.queries, count * sides.queries);
  return part;
}

/// Keys for which memory is made at a time: a cache that grows by one need not ask for it each time.
constexpr Index kKeysMore = 1024;

const std::int32_t* ints(const Tensor& tensor) {
  return static_cast<const std::int32_t*>(tensor.data);
}

}  // namespace

Index KernelAttention::rows_at_once(const AttentionCall& call) const {
  const AttentionSides sides = sides_of(call);
  const auto row = static_cast<std::size_t>(sides.heads * sides.queries * sides.keys()) * bytes_of(device_.real());
  return std::clamp<Index>(static_cast<Index>(most_bytes_ / row), 1, call.rows);
}

void KernelAttention::attend(const AttentionCall& call) {
  const Index most = rows_at_once(call);
  for (Index first = 0; first < call.rows; first += most) {
    const AttentionCall part = part_of(call, first, std::min(most, call.rows - first));
    const AttentionSides sides = sides_of(part);
    const Index blocks = sides.rows * sides.heads * sides.queries;
    const Index keys = call.k.rows / call.rows;
    const Index room = (keys + kKeysMore - 1) / kKeysMore * kKeysMore;
    device_.run(AttendQueries{sides, part.q, part.k, part.v, part.out, part.log_sum, ints(part.first_key),
                              weights_.shaped(blocks, room, device_.real()), call.position},
                blocks);
  }
}

void KernelAttention::attend_backward(const AttentionGradient& call) {
  const Index most = rows_at_once(call.forward);
  for (Index first = 0; first < call.forward.rows; first += most) {
    const AttentionCall part = part_of(call.forward, first, std::min(most, call.forward.rows - first));
    const AttentionSides sides = sides_of(part);
    const auto rows_of = [&](const Tensor& all) { return all.row_range(first * sides.queries, part.q.rows); };
    const Index blocks = sides.rows * sides.heads * sides.queries;
    const Tensor weights = weights_.shaped(blocks, sides.queries, device_.real());
    const Tensor d_scores = d_scores_.shaped(blocks, sides.queries, device_.real());
    const Tensor d_out = rows_of(call.d_out);
    device_.run(AttendQueriesBackward{sides, part.q, part.k, part.v, part.out, d_out, rows_of(call.dq), part.log_sum,
                                      ints(part.first_key), weights, d_scores},
                blocks);
    device_.run(AttendKeysBackward{sides, part.q, d_out, rows_of(call.dk), rows_of(call.dv), ints(part.first_key),
                                   weights, d_scores},
                blocks);
  }
}

}  // namespace millrace
