#pragma once

#include "model/kernels/dropout.h"
#include "model/lanes/streams.h"

namespace millrace {

/// What experts read: a slot a block, zeros where it is empty.
struct GatherSlots {
  Tensor x;                   ///< (N, H) low
  const std::int32_t* pair;   ///< (slots)
  const std::int32_t* slots;  ///< How many there are.
  Tensor to;                  ///< (slots, H) low
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index slot) const {
    using Low = typename Numbers::Low;
    if (slot >= *slots) return;
    Low* out = to.row<Low>(slot);
    if (pair[slot] < 0) return clear_numbers(team, to.columns, out);
    copy_numbers(team, to.columns, static_cast<const Low*>(x.row<Low>(pair[slot] / choices)), out);
  }
};

/// The gradient of it: dx[t] = the sum over the token's slots, in order of choices. A token a block.
struct GatherSlotsBackward {
  Tensor d_slots;            ///< (slots, H) real
  const std::int32_t* slot;  ///< (N, k)
  Tensor dx;                 ///< (N, H) real
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    Real* out = dx.row<Real>(t);
    clear_numbers(team, dx.columns, out);
    for (int c = 0; c < choices; ++c) {
      if (slot[t * choices + c] < 0) continue;
      const Real* in = d_slots.row<Real>(slot[t * choices + c]);
      for_numbers(
          team, dx.columns, [](Real more, Real& sum) { sum += more; }, reading(in), updating(out));
    }
  }
};

/// out[t] = h[t] + the sum over the token's kept experts of P_e y[slot], with dropout: gates are P itself, not
/// rescaled. A token a block.
struct CombineSlots {
  Tensor h;                    ///< (N, H) real
  Tensor y;                    ///< (slots, H) low
  Tensor probabilities;        ///< (N, E) real
  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* slot;    ///< (N, k)
  Tensor out;                  ///< (N, H) real
  int choices;
  DropoutMask mask;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Real* in = h.row<Real>(t);
    Real* to = out.row<Real>(t);
    copy_numbers(team, out.columns, in, to);
    for (int c = 0; c < choices; ++c) {
      const Index pair = t * choices + c;
      if (slot[pair] < 0) continue;
      const Real gate = probabilities.row<Real>(t)[expert[pair]];
      const Low* from = y.row<Low>(slot[pair]);
      if (mask.below == 0) {
        for_numbers(
            team, out.columns, [=](Real x, Real& sum) { sum += gate * x; }, reading(from), updating(to));
        continue;
      }
      const std::uint64_t row = mask.row_key(t);
      team.each(out.columns,
                [=, this](Index j) { to[j] += gate * value_of(from[j]) * static_cast<Real>(mask.factor(row, j)); });
    }
  }
};

/// The gradients of gates and of the experts' results. A slot a block; an empty one's gradient is zero.
struct CombineBackward {
  Tensor dh;                   ///< (N, H) real: of out
  Tensor y;                    ///< (slots, H) low
  Tensor probabilities;        ///< (N, E) real
  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* pair;    ///< (slots)
  const std::int32_t* slots;
  Tensor d_gates;  ///< (N, k) real: written for kept pairs
  Tensor dy;       ///< (slots, H) low
  int choices;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index slot) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (slot >= *slots) return;
    Low* out = dy.row<Low>(slot);
    if (pair[slot] < 0) return clear_numbers(team, dy.columns, out);
    const Index t = pair[slot] / choices;
    const Real* upstream = dh.row<Real>(t);
    const Low* result = y.row<Low>(slot);
    const Real along = sum_numbers(
        team, dy.columns, [](Real d, Real x) { return d * x; }, reading(upstream), reading(result));
    team.lanes([&](int lane) {
      if (lane == 0) d_gates.row<Real>(t)[pair[slot] % choices] = along;
    });
    const Real gate = probabilities.row<Real>(t)[expert[pair[slot]]];
    for_numbers(
        team, dy.columns, [=](Real d, Real& to) { to = gate * d; }, reading(upstream), writing(out));
  }
};

}  // namespace millrace
