#pragma once

#include "model/lanes/eight.h"

namespace millrace {

/// y = x W, or y = what is added + x W, for a few rows: what it takes is reading W. A block makes some columns of
/// one row, so it reads of W what that row needs: of several matrices the one of the row's expert alone, and none of
/// those that have no rows. Sums are in the real type and have a fixed order, which depends on the sides alone.
struct MultiplyRows {
  static constexpr int kGroups = 4;  ///< Of eight columns each, where a row of W goes across the columns.

  Tensor x;                             ///< (M, K) of W's type
  Tensor w;                             ///< (K, N), or (N, K) if it is turned; one a matrix of `first`
  Tensor y;                             ///< (M, N) real, or of W's type
  const std::int32_t* first = nullptr;  ///< (matrices + 1): the rows of each matrix, the last one's the end; null: all
  bool is_turned = false;
  const void* added = nullptr;  ///< Laid out as y, which it may be; null: nothing.

  /// As few columns as there may be, so that there are many blocks; of a turned W eight, each a row of it.
  MILLRACE_HD static constexpr Index columns_of_block(bool is_turned) { return is_turned ? 8 : kGroups * 8; }
  MILLRACE_HD static constexpr Index tiles(Index columns, bool is_turned) {
    return (columns + columns_of_block(is_turned) - 1) / columns_of_block(is_turned);
  }

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
    const Index row = block / tiles(y.columns, is_turned);
    const Index tile = block % tiles(y.columns, is_turned) * columns_of_block(is_turned);
    Tensor weights = w;
    if (first != nullptr) {
      if (row >= first[w.batch]) return;
      const std::int32_t* ends = first + 1;
      weights = w.entry(team.sum(w.batch, [=](Index e) { return static_cast<std::int32_t>(ends[e] <= row); }));
    }
    const Factor* in = x.row<Factor>(row);
    const bool moves_eight = is_aligned(weights.data) && weights.stride % 8 == 0;
    const bool is_whole = moves_eight && y.columns % 8 == 0 && (!is_turned || (is_aligned(in) && x.columns % 8 == 0));
    // Loads are many at once where nothing is asked between them.
    if (is_whole)
      add_up<true, Factor, Result, Real>(team, row, tile, weights);
    else
      add_up<false, Factor, Result, Real>(team, row, tile, weights);
  }

  template <bool kIsWhole, class Factor, class Result, class Real, class Team>
  MILLRACE_HD void add_up(const Team& team, Index row, Index tile, const Tensor& weights) const {
    constexpr int kAtOnce = sizeof(Factor) == 2 ? 8 : 4;  // As many as there are registers for.
    const Index terms = x.columns;
    const Index columns = y.columns;
    const Factor* in = x.row<Factor>(row);
    const Factor* factors = weights.row<Factor>(0);
    const Index stride = weights.stride;
    Result* out = y.row<Result>(row);
    const Result* from = added == nullptr ? nullptr : static_cast<const Result*>(added) + row * y.stride;
    const auto store = [=](int group, const Eight<Real>& sums) {
      for (int i = 0; i < 8; ++i) {
        const Index j = tile + 8 * group + i;
        if (j >= columns) continue;
        out[j] = stored_as<Result>(from != nullptr ? value_of(from[j]) + sums.number[i] : sums.number[i]);
      }
    };
    if (is_turned && kIsWhole) {
      const auto term = [=](int /*group*/, Index part) {
        const Index k = 8 * part;
        const Eight<Factor> numbers = load_eight(in + k);
        Eight<Real> sums;
        for (int i = 0; i < 8; ++i) {
          const Eight<Factor> others = load_eight(factors + (tile + i) * stride + k);
          for (int n = 0; n < 8; ++n) sums.number[i] += value_of(numbers.number[n]) * value_of(others.number[n]);
        }
        return sums;
      };
      team.template sums<1, kAtOnce / 4>(terms / 8, term, store);
    } else if (is_turned) {
      const auto term = [=](int /*group*/, Index k) {
        const Real number = value_of(in[k]);
        Eight<Real> sums;
        for (int i = 0; i < 8; ++i) {
          // Behind the last column: once more that one, for nobody.
          const Index j = tile + i < columns ? tile + i : columns - 1;
          sums.number[i] = number * value_of(factors[j * stride + k]);
        }
        return sums;
      };
      team.template sums<1, 1>(terms, term, store);
    } else {
      const Index last = (columns - 1) / 8 * 8;
      const auto term = [=](int group, Index k) {
        const Index wanted = tile + 8 * group;
        const Index j = wanted < columns ? wanted : last;
        const Real number = value_of(in[k]);
        const Eight<Factor> others = up_to_eight(factors + k * stride + j, columns - j, kIsWhole);
        Eight<Real> sums;
        for (int i = 0; i < 8; ++i) sums.number[i] = number * value_of(others.number[i]);
        return sums;
      };
      team.template sums<kGroups, kAtOnce>(terms, term, store);
    }
  }
};

}  // namespace millrace
