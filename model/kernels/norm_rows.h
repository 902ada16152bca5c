#pragma once

#include "model/lanes/streams.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// x = h (mean(h^2) + eps)^-1/2 gain, a row a block; 0 at padding (flaxformer T5LayerNorm).
struct NormRows {
  Tensor h;                  ///< (N, H) real
  const void* gain;          ///< (H) real
  const std::uint8_t* real;  ///< (N): 0 at padding; null: none is.
  Tensor x;                  ///< (N, H) low
  Tensor full;               ///< (N, H) real: x in full precision, where it is wanted.
  void* inverse;             ///< (N) real: the factor before gain, for backward.
  double eps;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index row) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const Index width = h.columns;
    const Real* in = h.row<Real>(row);
    const auto* weight = static_cast<const Real*>(gain);
    const Real mean = sum_numbers(
                          team, width, [](Real number) { return number * number; }, reading(in)) /
                      static_cast<Real>(width);
    const Real factor = Real{1} / root_of(mean + static_cast<Real>(eps));
    team.lanes([&](int lane) {
      if (lane == 0) static_cast<Real*>(inverse)[row] = factor;
    });
    const Real kept = real == nullptr || real[row] != 0 ? factor : Real{0};
    Low* out = x.row<Low>(row);
    const auto normed = [=](Real number, Real of_gain, Real& to) { to = number * kept * of_gain; };
    if (full.data == nullptr) return for_numbers(team, width, normed, reading(in), reading(weight), writing(out));
    const auto both = [=](Real number, Real of_gain, Real& exact, Real& to) {
      exact = number * kept * of_gain;
      to = exact;
    };
    for_numbers(team, width, both, reading(in), reading(weight), writing(full.row<Real>(row)), writing(out));
  }
};

/// Adds the gradient of x to dh; the gain's gradient of each piece of kRows rows, a block, goes to a row of `gains`, to
/// be added by AddPieces.
struct NormRowsBackward {
  static constexpr Index kRows = 64;

  Tensor dx;  ///< (N, H) real: of x
  Tensor h;   ///< (N, H) real
  const void* gain;
  const std::uint8_t* real;
  const void* inverse;
  Tensor dh;     ///< (N, H) real
  Tensor gains;  ///< (pieces, H) real

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index piece) const {
    using Real = typename Numbers::Real;
    const Index width = h.columns;
    const auto* weight = static_cast<const Real*>(gain);
    Real* sum = gains.row<Real>(piece);
    clear_numbers(team, width, sum);
    const Index end = (piece + 1) * kRows < h.rows ? (piece + 1) * kRows : h.rows;
    for (Index row = piece * kRows; row < end; ++row) {
      if (real != nullptr && real[row] == 0) continue;
      const Real* in = h.row<Real>(row);
      const Real* upstream = dx.row<Real>(row);
      Real* out = dh.row<Real>(row);
      const Real factor = static_cast<const Real*>(inverse)[row];
      const Real mean = sum_numbers(
                            team, width, [](Real d, Real of_gain, Real number) { return d * of_gain * number; },
                            reading(upstream), reading(weight), reading(in)) /
                        static_cast<Real>(width);
      const Real along = mean * factor * factor * factor;
      const auto turn = [=](Real d, Real of_gain, Real number, Real& of_sum, Real& out_of) {
        of_sum += d * number * factor;
        out_of += d * of_gain * factor - number * along;
      };
      for_numbers(team, width, turn, reading(upstream), reading(weight), reading(in), updating(sum), updating(out));
    }
  }
};

/// to[j] += the sum over pieces of from[piece][j], in order; kColumns columns a block. The sum is made where the first
/// piece is.
struct AddPieces {
  static constexpr Index kColumns = 64;

  Tensor from;  ///< (pieces, W) real
  void* to;     ///< (W) real

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const Index first = block * kColumns;
    const Index count = from.columns - first < kColumns ? from.columns - first : kColumns;
    Real* sum = from.row<Real>(0) + first;
    for (Index piece = 1; piece < from.rows; ++piece) {
      const Real* row = from.row<Real>(piece) + first;
      for_numbers(
          team, count, [](Real more, Real& all) { all += more; }, reading(row), updating(sum));
    }
    Real* all = static_cast<Real*>(to) + first;
    team.each(count, [=](Index j) { all[j] += sum[j]; });
  }
};

}  // namespace millrace
