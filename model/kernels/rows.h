#pragma once

#include "model/lanes/streams.h"

namespace millrace {

/// to = from, real to real; a row a block.
struct CopyRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    const Real* in = from.row<Real>(row);
    Real* out = to.row<Real>(row);
    copy_numbers(team, from.columns, in, out);
  }
};

/// to += from, real; a row a block.
struct AddRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    const Real* in = from.row<Real>(row);
    Real* out = to.row<Real>(row);
    for_numbers(
        team, from.columns, [=](Real more, Real& sum) { sum += more; }, reading(in), updating(out));
  }
};

/// to[index[i]] = from[i], low to low; a row a block.
struct ScatterLowRows {
  Tensor from;                ///< (M, W)
  const std::int32_t* index;  ///< (M), distinct
  Tensor to;                  ///< (N, W)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index i) const {
    using Low = typename Numbers::Low;
    const Low* in = from.row<Low>(i);
    copy_numbers(team, from.columns, in, to.row<Low>(index[i]));
  }
};

/// to = from, rounded: real to low.
struct RoundRows {
  Tensor from, to;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Real* in = from.row<Real>(row);
    Low* out = to.row<Low>(row);
    for_numbers(
        team, from.columns, [=](Real x, auto& rounded_to) { rounded_to = x; }, reading(in), writing(out));
  }
};

/// to[i] = from[index[i]], low; zeros where the index is negative.
struct GatherRows {
  Tensor from;                ///< (N, W)
  const std::int32_t* index;  ///< (M)
  Tensor to;                  ///< (M, W)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index i) const {
    using Low = typename Numbers::Low;
    Low* out = to.row<Low>(i);
    if (index[i] < 0) return clear_numbers(team, to.columns, out);
    copy_numbers(team, to.columns, static_cast<const Low*>(from.row<Low>(index[i])), out);
  }
};

/// to[index[i]] = from[i], real.
struct ScatterRows {
  Tensor from;                ///< (M, W)
  const std::int32_t* index;  ///< (M), distinct; negative: nowhere
  Tensor to;                  ///< (N, W)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index i) const {
    using Real = typename Numbers::Real;
    if (index[i] < 0) return;
    const Real* in = from.row<Real>(i);
    copy_numbers(team, to.columns, in, to.row<Real>(index[i]));
  }
};

/// h[t] = table[token[t]], a position a block. The table may be in bf16.
struct EmbeddingRows {
  const std::int32_t* token;  ///< (N)
  Tensor table;               ///< [V, H] real, or bf16
  Tensor h;                   ///< (N, H) real

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    Real* to = h.row<Real>(t);
    if (table.type == Type::bf16) {
      const Bf16* from = table.row<Bf16>(token[t]);
      return for_numbers(
          team, h.columns, [=](Real x, Real& out) { out = x; }, reading(from), writing(to));
    }
    const Real* from = table.row<Real>(token[t]);
    copy_numbers(team, h.columns, from, to);
  }
};

/// The table's gradient += the sum of each token's positions, in order: a token of the batch a block.
struct EmbeddingGradient {
  const std::int32_t* token;     ///< (tokens): distinct ones
  const std::int32_t* first;     ///< (tokens + 1): where the token's positions begin in `position`
  const std::int32_t* position;  ///< sorted by token, then by place
  Tensor dh;                     ///< (N, H) real
  Tensor gradient;               ///< [V, H] real, added to

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    Real* to = gradient.row<Real>(token[block]);
    if (!moves_eight<Team>(reading(to)) || dh.stride % 8 != 0 || dh.columns % 8 != 0) {
      team.each(dh.columns, [=, this](Index j) {
        Real sum = 0;
        for (Index i = first[block]; i < first[block + 1]; ++i) sum += dh.row<Real>(position[i])[j];
        to[j] += sum;
      });
      return;
    }
    team.each(dh.columns / 8, [=, this](Index part) {
      Eight<Real> sum;
      for (Index i = first[block]; i < first[block + 1]; ++i) sum += load_eight(dh.row<Real>(position[i]) + 8 * part);
      Eight<Real> all = load_eight(to + 8 * part);
      store_eight(to + 8 * part, all += sum);
    });
  }
};

}  // namespace millrace
