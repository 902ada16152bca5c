#pragma once

#include "model/kernels/dropout.h"
#include "model/kernels/numbers.h"

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
    if (pair[slot] < 0) {
      team.each(to.columns, [=](Index j) { out[j] = Low{}; });
      return;
    }
    const Low* in = x.row<Low>(pair[slot] / choices);
    team.each(to.columns, [=](Index j) { out[j] = in[j]; });
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
    team.each(dx.columns, [=](Index j) { out[j] = 0; });
    for (int c = 0; c < choices; ++c) {
      if (slot[t * choices + c] < 0) continue;
      const Real* in = d_slots.row<Real>(slot[t * choices + c]);
      team.each(dx.columns, [=](Index j) { out[j] += in[j]; });
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
    team.each(out.columns, [=](Index j) { to[j] = in[j]; });
    for (int c = 0; c < choices; ++c) {
      const Index pair = t * choices + c;
      if (slot[pair] < 0) continue;
      const Real gate = probabilities.row<Real>(t)[expert[pair]];
      const Low* from = y.row<Low>(slot[pair]);
      if (mask.below == 0) {
        team.each(out.columns, [=](Index j) { to[j] += gate * value_of(from[j]); });
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
    if (pair[slot] < 0) {
      team.each(dy.columns, [=](Index j) { out[j] = Low{}; });
      return;
    }
    const Index t = pair[slot] / choices;
    const Real* upstream = dh.row<Real>(t);
    const Low* result = y.row<Low>(slot);
    const Real along = team.sum(dy.columns, [=](Index j) { return upstream[j] * value_of(result[j]); });
    team.lanes([&](int lane) {
      if (lane == 0) d_gates.row<Real>(t)[pair[slot] % choices] = along;
    });
    const Real gate = probabilities.row<Real>(t)[expert[pair[slot]]];
    team.each(dy.columns, [=](Index j) { out[j] = stored_as<Low>(gate * upstream[j]); });
  }
};

}  // namespace millrace
