#include "model/cpu/cpu_attention.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "model/lanes/numbers.h"
#include "model/lanes/team.h"
#include "model/lanes/vector_math.h"
#include "model/parallel.h"

namespace millrace {
namespace {

using Side = Product::Side;

constexpr Index kQueryBlock = 64;

/// What one thread computes with: a head's numbers, wide.
template <class Real>
struct AttentionScratch {
  Matrix<Real> scores, gradient, q, k, v, out, d_out, dk, dv;
};

/// The type that is computed with, of numbers that are stored as `low`.
Type real_type_of(Type low) {
  return low == Type::f64 ? Type::f64 : Type::f32;
}

template <class Real>
Tensor tensor_of(Matrix<Real>& matrix) {
  return {matrix.data(), sizeof(Real) == 8 ? Type::f64 : Type::f32, matrix.rows(), matrix.columns(), matrix.columns()};
}

/// Numbers as Real: where they lie, or widened into `memory`.
template <class Real, class Low>
Tensor loaded(const Tensor& from, Matrix<Real>& memory) {
  if constexpr (std::is_same_v<Real, Low>) {
    return from;
  } else {
    memory.reshape(from.rows, from.columns);
    for (Index i = 0; i < from.rows; ++i) {
      const Low* low = from.row<const Low>(i);
      Real* row = memory.row(i);
      SerialTeam{}.each(from.columns, [=](Index j) { row[j] = value_of(low[j]); });
    }
    return tensor_of(memory);
  }
}

template <class Real, class Low>
void store_row(const Real* from, Real factor, Low* to, Index count) {
  SerialTeam{}.each(count, [=](Index j) { to[j] = stored_as<Low>(from[j] * factor); });
}
template <class Real, class Low>
void store(const Matrix<Real>& from, const Tensor& to) {
  for (Index i = 0; i < to.rows; ++i) store_row(from.row(i), Real{1}, to.row<Low>(i), to.columns);
}

/// Room for numbers to compute.
template <class Real>
Tensor room_for(Index rows, Index columns, Matrix<Real>& memory) {
  memory.reshape(rows, columns);
  return tensor_of(memory);
}

/// Room for scores. Rows lie an odd number of vectors apart: at a power of two they would fight for the same places of
/// the cache.
template <class Real>
Tensor room_for_scores(Index rows, Index columns, Matrix<Real>& memory) {
  constexpr Index kVector = 16;
  Tensor scores = room_for(rows, ((columns + kVector - 1) / kVector | 1) * kVector, memory);
  scores.columns = columns;
  return scores;
}

template <class Real>
void fill_with_zeros(Real* to, Index count) {
  std::fill_n(to, count, Real{0});
}

/// One head of one row.
struct Head {
  Index row, head, queries, keys, width;

  Head(const AttentionCall& call, Index task)
      : row(task / call.heads),
        head(task % call.heads),
        queries(call.q.rows / call.rows),
        keys(call.start + queries),
        width(call.q.columns / call.heads) {}
  Tensor of_queries(const Tensor& all) const {
    return all.row_range(row * queries, queries).column_range(head * width, width);
  }
  Tensor of_keys(const Tensor& all) const { return all.row_range(row * keys, keys).column_range(head * width, width); }
};

/// A block of queries and the keys any of them sees.
struct QueryBlock {
  const std::int32_t* first_key;  ///< Of the block's queries.
  Index query, queries, key, keys;
  Index start;

  Tensor of(const Tensor& head) const { return head.row_range(query, queries); }
  /// The keys query i of the block sees: columns from() to to() of the block's scores.
  Index to(Index i) const { return start + query + i + 1 - key; }
  Index from(Index i) const { return std::clamp<Index>(first_key[i] - key, 0, to(i)); }
};

/// work(block) for each block of a head's queries; ends early once a stop is requested.
template <class Work>
void for_query_blocks(const AttentionCall& call, const Head& head, const Work& work) {
  const std::int32_t* first_key = static_cast<const std::int32_t*>(call.first_key.data) + head.row * head.queries;
  for (Index query = 0; query < head.queries && !stop_requested(); query += kQueryBlock) {
    QueryBlock block{first_key + query, query, std::min(kQueryBlock, head.queries - query), 0, 0, call.start};
    const Index end = call.start + query + block.queries;
    block.key = std::clamp<Index>(first_key[query], 0, end - 1);
    block.keys = end - block.key;
    work(block);
  }
}

/// The first key that any query of the head sees, or the last one there is.
Index first_key_of(const AttentionCall& call, const Head& head) {
  const std::int32_t first = static_cast<const std::int32_t*>(call.first_key.data)[head.row * head.queries];
  return std::clamp<Index>(first, 0, head.keys - 1);
}

template <class Real, class Low>
void attend_head(const AttentionCall& call, const Head& head, SerialProduct multiply) {
  thread_local AttentionScratch<Real> scratch;
  const SerialTeam team;
  const Index seen = first_key_of(call, head);
  const Tensor k = loaded<Real, Low>(head.of_keys(call.k).row_range(seen, head.keys - seen), scratch.k);
  const Tensor v = loaded<Real, Low>(head.of_keys(call.v).row_range(seen, head.keys - seen), scratch.v);
  Real* log_sums = call.log_sum.row<Real>(head.head) + head.row * head.queries;
  for_query_blocks(call, head, [&](const QueryBlock& block) {
    const Tensor q = loaded<Real, Low>(block.of(head.of_queries(call.q)), scratch.q);
    const Tensor scores = room_for(block.queries, block.keys, scratch.scores);
    const Tensor out = room_for(block.queries, head.width, scratch.out);
    multiply({q, k.row_range(block.key - seen, block.keys), scores, Side::plain, Side::transposed});
    Real inverse[kQueryBlock];
    for (Index i = 0; i < block.queries; ++i) {
      const Index from = block.from(i);
      const Index count = block.to(i) - from;
      Real* score = scores.row<Real>(i) + from;
      fill_with_zeros(score - from, from);
      fill_with_zeros(score + count, block.keys - from - count);
      inverse[i] = 0;
      log_sums[block.query + i] = std::numeric_limits<Real>::infinity();
      if (count == 0) continue;
      const Real largest = team.max(count, [=](Index j) { return score[j]; });
      const Real sum = team.sum(count, [=](Index j) { return score[j] = exp_of(score[j] - largest); });
      inverse[i] = Real{1} / sum;
      log_sums[block.query + i] = largest + log_of(sum);
    }
    multiply({scores, v.row_range(block.key - seen, block.keys), out});
    const Tensor to = block.of(head.of_queries(call.out));
    for (Index i = 0; i < block.queries; ++i) store_row(scratch.out.row(i), inverse[i], to.row<Low>(i), head.width);
  });
}

template <class Real, class Low>
void attend_head_backward(const AttentionGradient& call, const Head& head, SerialProduct multiply) {
  thread_local AttentionScratch<Real> scratch;
  const SerialTeam team;
  const AttentionCall& forward = call.forward;
  const Tensor all_k = loaded<Real, Low>(head.of_keys(forward.k), scratch.k);
  const Tensor all_v = loaded<Real, Low>(head.of_keys(forward.v), scratch.v);
  const Tensor dk = room_for(head.keys, head.width, scratch.dk);
  const Tensor dv = room_for(head.keys, head.width, scratch.dv);
  scratch.dk.fill(0);
  scratch.dv.fill(0);
  const Real* log_sums = forward.log_sum.row<Real>(head.head) + head.row * head.queries;
  for_query_blocks(forward, head, [&](const QueryBlock& block) {
    const Tensor q = loaded<Real, Low>(block.of(head.of_queries(forward.q)), scratch.q);
    const Tensor d_out = loaded<Real, Low>(block.of(head.of_queries(call.d_out)), scratch.d_out);
    const Tensor out = loaded<Real, Low>(block.of(head.of_queries(forward.out)), scratch.out);
    const Tensor k = all_k.row_range(block.key, block.keys);
    const Tensor v = all_v.row_range(block.key, block.keys);
    const Tensor weights = room_for_scores(block.queries, block.keys, scratch.scores);
    const Tensor gradient = room_for_scores(block.queries, block.keys, scratch.gradient);
    multiply({q, k, weights, Side::plain, Side::transposed});
    multiply({d_out, v, gradient, Side::plain, Side::transposed});
    for (Index i = 0; i < block.queries; ++i) {
      const Index from = block.from(i);
      const Index count = block.to(i) - from;
      for (const Tensor& scores : {weights, gradient}) {
        fill_with_zeros(scores.row<Real>(i), from);
        fill_with_zeros(scores.row<Real>(i) + from + count, block.keys - from - count);
      }
      const Real* of_out = out.row<const Real>(i);
      const Real* of_d_out = d_out.row<const Real>(i);
      const Real along = team.sum(head.width, [=](Index j) { return of_d_out[j] * of_out[j]; });
      const Real log_sum = log_sums[block.query + i];
      Real* weight = weights.row<Real>(i) + from;
      Real* upstream = gradient.row<Real>(i) + from;
      team.each(count, [=](Index j) {
        weight[j] = exp_of(weight[j] - log_sum);
        upstream[j] = weight[j] * (upstream[j] - along);
      });
    }
    multiply({gradient, q, dk.row_range(block.key, block.keys), Side::transposed, Side::plain, true});
    multiply({weights, d_out, dv.row_range(block.key, block.keys), Side::transposed, Side::plain, true});
    multiply({gradient, k, room_for(block.queries, head.width, scratch.out)});
    store<Real, Low>(scratch.out, block.of(head.of_queries(call.dq)));
  });
  store<Real, Low>(scratch.dk, head.of_keys(call.dk));
  store<Real, Low>(scratch.dv, head.of_keys(call.dv));
}

/// Throws unless all tensors are what AttentionCall says; those of `more` are as q.
void check_attention(const AttentionCall& call, std::initializer_list<Tensor> more) {
  const Index queries = call.rows > 0 ? call.q.rows / call.rows : 0;
  const auto is_like = [&](const Tensor& tensor, Index rows) {
    return tensor.type == call.q.type && tensor.batch == 1 && tensor.rows == rows && tensor.columns == call.q.columns &&
           (tensor.data != nullptr || tensor.size() == 0) && (rows <= 1 || tensor.stride >= tensor.columns);
  };
  const bool is_type = call.q.type == Type::f64 || call.q.type == Type::f32 || call.q.type == Type::bf16;
  bool fits = is_type && call.rows >= 0 && call.heads > 0 && call.start >= 0 && queries * call.rows == call.q.rows &&
              call.q.columns % call.heads == 0 && is_like(call.q, call.q.rows) && is_like(call.out, call.q.rows);
  for (const Tensor& tensor : more) fits = fits && is_like(tensor, call.q.rows);
  const Index keys = call.rows * (call.start + queries);
  for (const Tensor& tensor : {call.k, call.v})
    fits = fits && is_like(tensor, call.rows == 1 ? std::max(tensor.rows, keys) : keys);
  fits = fits && call.log_sum.type == real_type_of(call.q.type) && call.log_sum.rows == call.heads &&
         call.log_sum.columns == call.q.rows && call.first_key.type == Type::i32 &&
         call.first_key.size() == call.q.rows;
  if (fits) return;
  const auto sides = [](const Tensor& tensor) {
    return "(" + std::to_string(tensor.rows) + ", " + std::to_string(tensor.columns) + ")";
  };
  throw std::logic_error("attention of " + std::to_string(call.rows) + " rows and " + std::to_string(call.heads) +
                         " heads does not have such tensors: q " + sides(call.q) + ", k " + sides(call.k) + ", v " +
                         sides(call.v) + ", out " + sides(call.out) + ", log_sum " + sides(call.log_sum) +
                         ", first_key " + sides(call.first_key) + ", after " + std::to_string(call.start) + " keys");
}

/// work(head, multiply) for each head of each row.
template <class Work>
void for_heads_of_rows(const AttentionCall& call, ProductSource source, const Work& work) {
  const SerialProduct multiply = serial_product(source, real_type_of(call.q.type));
  const Index tasks = call.q.rows > 0 ? call.rows * call.heads : 0;
  for_long_ranges(tasks, 1, [&](Index task, Index) { work(Head(call, task), multiply); });
}

}  // namespace

void attend_on_cpu(const AttentionCall& call, ProductSource source) {
  check_attention(call, {});
  const auto attend_one = call.q.type == Type::f64   ? attend_head<double, double>
                          : call.q.type == Type::f32 ? attend_head<float, float>
                                                     : attend_head<float, Bf16>;
  for_heads_of_rows(call, source, [&](const Head& head, SerialProduct multiply) { attend_one(call, head, multiply); });
}

void attend_backward_on_cpu(const AttentionGradient& call, ProductSource source) {
  check_attention(call.forward, {call.d_out, call.dq, call.dk, call.dv});
  if (call.forward.start != 0) throw std::logic_error("attention's gradient does not go through a cache of keys");
  const Type type = call.forward.q.type;
  const auto one = type == Type::f64   ? attend_head_backward<double, double>
                   : type == Type::f32 ? attend_head_backward<float, float>
                                       : attend_head_backward<float, Bf16>;
  for_heads_of_rows(call.forward, source, [&](const Head& head, SerialProduct multiply) { one(call, head, multiply); });
}

std::uint64_t attention_scratch_bytes(Index length, Index width, Precision precision) {
  const Index block = std::min(kQueryBlock, length);
  const Index of_blocks = 2 * block * length;
  const Index widened = precision == Precision::bf16 ? 4 * length * width + 3 * block * width : 0;
  return static_cast<std::uint64_t>(of_blocks + widened) * bytes_of(real_type(precision));
}

}  // namespace millrace
