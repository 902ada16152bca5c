#pragma once

#include "model/lanes/eight.h"

namespace millrace {

/// y = x W, or y = what is added + x W, for a few rows: what it takes is reading W. A block makes kColumns columns of
/// one row, so it reads of W what that row needs: of several matrices the one of the row's expert alone, and none of
/// those that have no rows. Sums are in the real type and have a fixed order, which depends on the sides alone.
struct MultiplyRows {
  static constexpr int kGroups = 4;  ///< Of eight columns each.
  static constexpr Index kColumns = kGroups * 8;

  Tensor x;                             ///< (M, K) of W's type
  Tensor w;                             ///< (K, N), or (N, K) if it is turned; one a matrix of `first`
  Tensor y;                             ///< (M, N) real, or of W's type
  const std::int32_t* first = nullptr;  ///< (matrices + 1): the rows of each matrix, the last one's the end; null: all
  bool is_turned = false;
  const void* added = nullptr;  ///< Laid out as y, which it may be; null: nothing.

  static constexpr Index tiles(Index columns) { return (columns + kColumns - 1) / kColumns; }

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    if (w.type != Type::bf16) return run<Real, Real, Real>(team, block);
    if constexpr (sizeof(Low) == 2) {
      if (y.type == Type::bf16) return run<Low, Low, Real>(team, block);
      run<Low, Real, Real>(team, block);
    }
  }

 private:
  template <class Factor, class Result, class Real, class Team>
  MILLRACE_HD void run(const Team& team, Index block) const {
    const Index row = block / tiles(y.columns);
    const Index tile = block % tiles(y.columns) * kColumns;
    Tensor weights = w;
    if (first != nullptr) {
      if (row >= first[w.batch]) return;
      const std::int32_t* ends = first + 1;
      weights = w.entry(team.sum(w.batch, [=](Index e) { return static_cast<std::int32_t>(ends[e] <= row); }));
    }
    const Index terms = x.columns;
    const Index columns = y.columns;
    const Factor* in = x.row<Factor>(row);
    const Factor* factors = weights.row<Factor>(0);
    const Index stride = weights.stride;
    const bool moves_eight = is_aligned(factors) && stride % 8 == 0;
    Result* out = y.row<Result>(row);
    const Result* from = added == nullptr ? nullptr : static_cast<const Result*>(added) + row * y.stride;
    const auto store = [=](int group, const Eight<Real>& sums) {
      for (int i = 0; i < 8; ++i) {
        const Index j = tile + 8 * group + i;
        if (j >= columns) continue;
        out[j] = stored_as<Result>(from != nullptr ? value_of(from[j]) + sums.number[i] : sums.number[i]);
      }
    };
    if (is_turned) {
      const bool is_whole = moves_eight && is_aligned(in) && terms % 8 == 0;
      const auto term = [=](int group, Index part) {
        const Index k = 8 * part;
        const Eight<Factor> numbers = up_to_eight(in + k, terms - k, is_whole);
        Eight<Real> sums;
        for (int i = 0; i < 8; ++i) {
          Index j = tile + 8 * group + i;  // Behind the last column: once more that one, for nobody.
          j = j < columns ? j : columns - 1;
          const Eight<Factor> others = up_to_eight(factors + j * stride + k, terms - k, is_whole);
          for (int n = 0; n < 8; ++n) sums.number[i] += value_of(numbers.number[n]) * value_of(others.number[n]);
        }
        return sums;
      };
      team.template sums<kGroups, 2>((terms + 7) / 8, term, store);
    } else {
      const bool is_whole = moves_eight && columns % 8 == 0;
      const auto term = [=](int group, Index k) {
        const Index j = tile + 8 * group;
        Eight<Real> sums;
        if (j >= columns) return sums;
        const Real number = value_of(in[k]);
        const Eight<Factor> others = up_to_eight(factors + k * stride + j, columns - j, is_whole);
        for (int i = 0; i < 8; ++i) sums.number[i] = number * value_of(others.number[i]);
        return sums;
      };
      team.template sums<kGroups, 8>(terms, term, store);
    }
  }
};

}  // namespace millrace
