#pragma once

#include <limits>

#include "model/lanes/streams.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// RoPE in place on all heads of a position, a block, half-split (colossalai modeling_openmoe.py):
///   (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)
/// at the position's angles, and back with sign = -1.
struct TurnHeads {
  Tensor x;                      ///< (N, heads * D) low
  Tensor cosine, sine;           ///< (positions, D / 2) real
  const std::int32_t* position;  ///< (N)
  int sign;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Index half = cosine.columns;
    const Real* cos = cosine.row<Real>(position[t]);
    const Real* sin = sine.row<Real>(position[t]);
    const auto direction = static_cast<Real>(sign);
    const auto turn = [=](Real c, Real s, Real& first, Real& second) {
      const Real a = first;
      const Real b = second;
      first = a * c - direction * b * s;
      second = b * c + direction * a * s;
    };
    Low* heads = x.row<Low>(t);
    if (moves_eight<Team>(reading(cos), reading(sin), reading(heads)) && half % 8 == 0) {
      const auto width = static_cast<int>(half);
      team.each(x.columns / 16, [=](Index i) {
        const int pair = 8 * static_cast<int>(i);
        Low* head = heads + pair / width * 2 * width;
        do_at_eight(pair % width, turn, all_eight(reading(cos)), all_eight(reading(sin)), all_eight(updating(head)),
                    all_eight(updating(head + half)));
      });
      return;
    }
    for (Index head = 0; head < x.columns; head += 2 * half)
      for_numbers(team, half, turn, reading(cos), reading(sin), updating(heads + head), updating(heads + head + half));
  }
};

/// Attention as AttentionCall has it, for any sizes: a block of these kernels is one query, or one key, of one head of
/// one row. Devices have faster ways for the sizes that they know.
struct AttentionSides {
  Index rows = 0;  ///< B
  Index heads = 0;
  Index start = 0;    ///< Keys before the queries.
  Index queries = 0;  ///< Of a row.
  Index width = 0;    ///< D

  MILLRACE_HD Index keys() const { return start + queries; }
  /// What block `block` is about, of `count` a row and head.
  struct Place {
    Index row, column, number;
  };
  MILLRACE_HD Place at(Index block, Index count) const {
    return {block / (heads * count), block / count % heads * width, block % count};
  }
};

/// to = first_key, but no query sees less than itself: for attention that knows no query that sees nothing. Where x is
/// zero, as it is at padding, so is what such a query gets. A row a block.
struct SeeItself {
  const std::int32_t* first_key;  ///< (rows * length)
  std::int32_t* to;
  Index length;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    const std::int32_t* from = first_key + row * length;
    std::int32_t* into = to + row * length;
    team.each(length, [=](Index t) { into[t] = from[t] < t ? from[t] : static_cast<std::int32_t>(t); });
  }
};

/// out and log_sum of a query. `weights` is used.
struct AttendQueries {
  AttentionSides sides;
  Tensor q, k, v, out;            ///< (rows * queries or keys, heads * D) low
  Tensor log_sum;                 ///< (heads, rows * queries) real
  const std::int32_t* first_key;  ///< (rows * queries)
  Tensor weights;                 ///< (blocks, keys) real
  const std::int32_t* position;   ///< (rows * queries): of a query among the keys; null: start + its number.

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const AttentionSides::Place place = sides.at(block, sides.queries);
    const Index column = place.column;
    const Index width = sides.width;
    const Index at = place.row * sides.queries + place.number;
    const Index first = first_key[at];
    const Index last = position != nullptr ? Index{position[at]} : sides.start + place.number;
    const Index count = last + 1 - first;
    Real* log = log_sum.row<Real>(column / width) + at;
    Low* to = out.row<Low>(at) + column;
    if (count <= 0) {
      team.each(width, [=](Index d) { to[d] = Low{}; });
      team.lanes([=](int lane) {
        if (lane == 0) *log = std::numeric_limits<Real>::infinity();
      });
      return;
    }
    const Tensor key = k.row_range(place.row * sides.keys() + first, count).column_range(column, width);
    const Tensor value = v.row_range(place.row * sides.keys() + first, count).column_range(column, width);
    const Low* query = q.row<Low>(at) + column;
    Real* weight = weights.row<Real>(block);
    const bool is_whole = is_aligned(query) && is_aligned(key.data) && is_aligned(value.data) && key.stride % 8 == 0 &&
                          value.stride % 8 == 0 && width % 8 == 0;
    // Loads are many at once where nothing is asked between them.
    if (is_whole)
      attend<true, Real>(team, query, key, value, weight, log, to);
    else
      attend<false, Real>(team, query, key, value, weight, log, to);
  }

 private:
  template <bool kIsWhole, class Real, class Team, class Low>
  MILLRACE_HD void attend(const Team& team, const Low* query, const Tensor& key, const Tensor& value, Real* weight,
                          Real* log, Low* to) const {
    const Index count = key.rows;
    const Index width = key.columns;
    team.each(count, [=](Index j) {
      const Low* other = key.row<Low>(j);
      Real score = 0;
      for (Index d = 0; d < width; d += 8) {
        const Eight<Low> a = up_to_eight(query + d, width - d, kIsWhole);
        const Eight<Low> b = up_to_eight(other + d, width - d, kIsWhole);
        for (int i = 0; i < 8; ++i) score += value_of(a.number[i]) * value_of(b.number[i]);
      }
      weight[j] = score;
    });
    const Real largest = team.max(count, [=](Index j) { return weight[j]; });
    const Real sum = team.sum(count, [=](Index j) { return weight[j] = exp_of(weight[j] - largest); });
    team.lanes([=](int lane) {
      if (lane == 0) *log = largest + log_of(sum);
    });
    constexpr int kGroups = 8;
    for (Index tile = 0; tile < width; tile += kGroups * 8) {
      const auto term = [=](int group, Index j) {
        const Index d = tile + 8 * group;
        Eight<Real> numbers;
        if (d >= width) return numbers;
        const Eight<Low> of_key = up_to_eight(value.row<Low>(j) + d, width - d, kIsWhole);
        for (int i = 0; i < 8; ++i) numbers.number[i] = weight[j] * value_of(of_key.number[i]);
        return numbers;
      };
      team.template sums<kGroups, 4>(count, term, [=](int group, const Eight<Real>& means) {
        for (Index d = tile + 8 * group, i = 0; d < width && i < 8; ++d, ++i)
          to[d] = stored_as<Low>(means.number[i] / sum);
      });
    }
  }
};

/// dq of a query, and for AttendKeysBackward each key's weight and the gradient of its score. start is 0.
struct AttendQueriesBackward {
  AttentionSides sides;
  Tensor q, k, v, out, d_out, dq;  ///< (rows * queries, heads * D) low
  Tensor log_sum;                  ///< (heads, rows * queries) real
  const std::int32_t* first_key;   ///< (rows * queries)
  Tensor weights, d_scores;        ///< (blocks, queries) real

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const AttentionSides::Place place = sides.at(block, sides.queries);
    const Index column = place.column;
    const Index width = sides.width;
    const Index at = place.row * sides.queries + place.number;
    const Index first = first_key[at];
    const Index count = place.number + 1 - first;
    Low* to = dq.row<Low>(at) + column;
    if (count <= 0) {
      team.each(width, [=](Index d) { to[d] = Low{}; });
      return;
    }
    const Low* query = q.row<Low>(at) + column;
    const Low* result = out.row<Low>(at) + column;
    const Low* upstream = d_out.row<Low>(at) + column;
    const Real log = log_sum.row<Real>(column / width)[at];
    const Tensor key = k.row_range(place.row * sides.queries + first, count);
    const Tensor value = v.row_range(place.row * sides.queries + first, count);
    Real* weight = weights.row<Real>(block) + first;
    Real* slope = d_scores.row<Real>(block) + first;
    const Real along = team.sum(width, [=](Index d) { return value_of(upstream[d]) * value_of(result[d]); });
    team.each(count, [=](Index j) {
      const Low* of_key = key.row<Low>(j) + column;
      const Low* of_value = value.row<Low>(j) + column;
      Real score = 0;
      Real d_weight = 0;
      for (Index d = 0; d < width; ++d) {
        score += value_of(query[d]) * value_of(of_key[d]);
        d_weight += value_of(upstream[d]) * value_of(of_value[d]);
      }
      weight[j] = exp_of(score - log);
      slope[j] = weight[j] * (d_weight - along);
    });
    team.each(width, [=](Index d) {
      Real sum = 0;
      for (Index j = 0; j < count; ++j) sum += slope[j] * value_of(key.row<Low>(j)[column + d]);
      to[d] = stored_as<Low>(sum);
    });
  }
};

/// dk and dv of a key: sums over the queries that see it.
struct AttendKeysBackward {
  AttentionSides sides;
  Tensor q, d_out, dk, dv;        ///< (rows * queries, heads * D) low
  const std::int32_t* first_key;  ///< (rows * queries): never decreases within a row
  Tensor weights, d_scores;       ///< As AttendQueriesBackward left them.

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Low = typename Numbers::Low;
    const AttentionSides::Place place = sides.at(block, sides.queries);
    const Index column = place.column;
    const Index key = place.number;
    const Index first = place.row * sides.queries;
    const Index first_block = block - key;  // Of query 0 of the same row and head.
    Index end = key;
    while (end < sides.queries && first_key[first + end] <= key) ++end;
    sum(team, first_block, key, end, d_scores, q.row_range(first, sides.queries), dk.row<Low>(first + key) + column,
        column);
    sum(team, first_block, key, end, weights, d_out.row_range(first, sides.queries), dv.row<Low>(first + key) + column,
        column);
  }

 private:
  /// to = the sum over the queries of their numbers, by what each has for the key.
  template <class Team, class Low>
  MILLRACE_HD void sum(const Team& team, Index first_block, Index key, Index end, const Tensor& factors,
                       const Tensor& numbers, Low* to, Index column) const {
    team.each(sides.width, [=](Index d) {
      decltype(value_of(Low{})) all = 0;
      for (Index i = key; i < end; ++i)
        all += factors.row<decltype(all)>(first_block + i)[key] * value_of(numbers.row<Low>(i)[column + d]);
      to[d] = stored_as<Low>(all);
    });
  }
};

}  // namespace millrace
