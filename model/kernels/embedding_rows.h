#pragma once

#include "model/kernels/numbers.h"

namespace millrace {

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
      team.each(h.columns, [=](Index j) { to[j] = value_of(from[j]); });
      return;
    }
    const Real* from = table.row<Real>(token[t]);
    team.each(h.columns, [=](Index j) { to[j] = from[j]; });
  }
};

/// The table's gradient: a token of the batch a block, whose positions are added in order.
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
    for (Index i = first[block]; i < first[block + 1]; ++i) {
      const Real* from = dh.row<Real>(position[i]);
      team.each(dh.columns, [=](Index j) { to[j] += from[j]; });
    }
  }
};

}  // namespace millrace
