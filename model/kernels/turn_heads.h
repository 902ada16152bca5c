#pragma once

#include "model/kernels/numbers.h"

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
    const Real direction = static_cast<Real>(sign);
    for (Index head = 0; head < x.columns; head += 2 * half) {
      Low* first = x.row<Low>(t) + head;
      Low* second = first + half;
      team.each(half, [=](Index j) {
        const Real a = value_of(first[j]);
        const Real b = value_of(second[j]);
        first[j] = stored_as<Low>(a * cos[j] - direction * b * sin[j]);
        second[j] = stored_as<Low>(b * cos[j] + direction * a * sin[j]);
      });
    }
  }
};

}  // namespace millrace
