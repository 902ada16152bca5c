#pragma once

#include "model/kernels/numbers.h"
#include "model/kernels/vector_math.h"

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
    const Real mean = team.sum(width, [=](Index j) { return in[j] * in[j]; }) / static_cast<Real>(width);
    const Real factor = Real{1} / root_of(mean + static_cast<Real>(eps));
    team.lanes([&](int lane) {
      if (lane == 0) static_cast<Real*>(inverse)[row] = factor;
    });
    const Real kept = real == nullptr || real[row] != 0 ? factor : Real{0};
    Low* out = x.row<Low>(row);
    if (full.data == nullptr) {
      team.each(width, [=](Index j) { out[j] = stored_as<Low>(in[j] * kept * weight[j]); });
      return;
    }
    Real* full_out = full.row<Real>(row);
    team.each(width, [=](Index j) {
      full_out[j] = in[j] * kept * weight[j];
      out[j] = stored_as<Low>(full_out[j]);
    });
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
    team.each(width, [=](Index j) { sum[j] = 0; });
    const Index end = (piece + 1) * kRows < h.rows ? (piece + 1) * kRows : h.rows;
    for (Index row = piece * kRows; row < end; ++row) {
      if (real != nullptr && real[row] == 0) continue;
      const Real* in = h.row<Real>(row);
      const Real* upstream = dx.row<Real>(row);
      Real* out = dh.row<Real>(row);
      const Real factor = static_cast<const Real*>(inverse)[row];
      const Real mean =
          team.sum(width, [=](Index j) { return upstream[j] * weight[j] * in[j]; }) / static_cast<Real>(width);
      const Real along = mean * factor * factor * factor;
      team.each(width, [=](Index j) {
        sum[j] += upstream[j] * in[j] * factor;
        out[j] += upstream[j] * weight[j] * factor - in[j] * along;
      });
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
      team.each(count, [=](Index j) { sum[j] += row[j]; });
    }
    Real* all = static_cast<Real*>(to) + first;
    team.each(count, [=](Index j) { all[j] += sum[j]; });
  }
};

}  // namespace millrace
