#pragma once

#include <cstdint>

#include "model/lanes/numbers.h"

namespace millrace {

/// A number of which every bit depends on every bit of `number` (SplitMix64's last step: Steele, Lea, Flood 2014).
MILLRACE_HD std::uint64_t mixed(std::uint64_t number) {
  number = (number ^ (number >> 30U)) * 0xbf58476d1ce4e5b9U;
  number = (number ^ (number >> 27U)) * 0x94d049bb133111ebU;
  return number ^ (number >> 31U);
}

/// Which numbers dropout sets to zero in one place of one layer; the others become `scale` times as large (Srivastava
/// et al. 2014). Nothing is stored: a number's fate is a function of the key, its row in the step, and its feature. All
/// positions of a row share it, as in OpenMoE's fine-tuning (flaxformer's dropout, broadcast over length).
struct DropoutMask {
  std::uint64_t key = 0;        ///< Of seed, step, layer and place.
  std::uint64_t first_row = 0;  ///< Of the step, of the first row here.
  Index length = 1;             ///< T
  std::uint32_t below = 0;      ///< Numbers whose 32 bits are below it are dropped; 0: none.
  double scale = 1;             ///< 1 / (1 - rate)

  explicit operator bool() const { return below != 0; }
  /// Of the row that position t is in.
  MILLRACE_HD std::uint64_t row_key(Index t) const {
    return mixed(key + 0x9e3779b97f4a7c15U * (first_row + static_cast<std::uint64_t>(t / length) + 1));
  }
  MILLRACE_HD double factor(std::uint64_t row, Index feature) const {
    const std::uint64_t bits = mixed(row + 0x9e3779b97f4a7c15U * static_cast<std::uint64_t>(feature + 1));
    return (bits >> 32U) < below ? 0 : scale;
  }
};

/// to = from with dropout, of any two types, or in place; a position a block.
struct DropRows {
  Tensor from, to;  ///< (N, W)
  DropoutMask mask;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (from.type != Type::bf16 && to.type != Type::bf16) return drop<Real, Real>(team, t);
    if (from.type != Type::bf16) return drop<Real, Low>(team, t);
    drop<Low, Low>(team, t);
  }

 private:
  template <class From, class To, class Team>
  MILLRACE_HD void drop(const Team& team, Index t) const {
    const From* in = from.row<From>(t);
    To* out = to.row<To>(t);
    const std::uint64_t row = mask.row_key(t);
    team.each(to.columns, [=, this](Index j) {
      const auto number = value_of(in[j]);
      out[j] = stored_as<To>(number * static_cast<decltype(number)>(mask.factor(row, j)));
    });
  }
};

/// Dropout of attention's probabilities that all queries of a head share: a key's value is dropped for the whole head.
/// In place, low; a position a block.
struct DropKeys {
  Tensor values;  ///< (N, heads * D) low: v, or its gradient
  Index head_dim;
  DropoutMask mask;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    Low* x = values.row<Low>(t);
    const std::uint64_t row = mask.row_key(t);
    const Index heads = values.columns / head_dim;
    team.each(values.columns, [=, this](Index j) {
      const double factor = mask.factor(row, t % mask.length * heads + j / head_dim);
      x[j] = stored_as<Low>(value_of(x[j]) * static_cast<Real>(factor));
    });
  }
};

/// Dropout of what experts' slots hold: all of a row's tokens at one expert share it. In place; a slot a block.
struct DropSlots {
  Tensor x;                    ///< (slots, F) low
  const std::int32_t* pair;    ///< (slots): empty slots are left alone
  const std::int32_t* expert;  ///< (N, k)
  const std::int32_t* slots;   ///< How many there are.
  int choices;
  DropoutMask mask;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index slot) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (slot >= *slots || pair[slot] < 0) return;
    Low* numbers = x.row<Low>(slot);
    const std::uint64_t row = mask.row_key(pair[slot] / choices);
    const Index first = expert[pair[slot]] * x.columns;
    team.each(x.columns, [=, this](Index j) {
      numbers[j] = stored_as<Low>(value_of(numbers[j]) * static_cast<Real>(mask.factor(row, first + j)));
    });
  }
};

/// out = h + y with dropout; a position a block.
struct AddDropped {
  Tensor h, y, out;  ///< (N, H) real
  DropoutMask mask;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index t) const {
    using Real = typename Numbers::Real;
    const Real* in = h.row<Real>(t);
    const Real* more = y.row<Real>(t);
    Real* to = out.row<Real>(t);
    const std::uint64_t row = mask.row_key(t);
    team.each(out.columns, [=, this](Index j) { to[j] = in[j] + more[j] * static_cast<Real>(mask.factor(row, j)); });
  }
};

}  // namespace millrace
