#pragma once

#include "model/kernels/adafactor.h"

namespace millrace {

/// Adafactor of tensors that keep a mean for each number:   u = c g / sqrt(v)   of the next v.

/// Sums of squares of values and of u, a piece of rows a block. That of u is infinite if a mean would be.
struct AdafactorWholeMoments {
  Tensor value;     ///< (matrices, rows, columns) real
  Tensor gradient;  ///< Likewise.
  Tensor v;         ///< Likewise.
  RowPieces pieces;
  MeansUpdate update;
  Tensor moments;  ///< (pieces of all matrices, 2) f64

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = pieces.at(block);
    const Index size = piece.count * value.columns;
    const Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    const Real* means = first_of<Real>(v, piece);
    const MeansUpdate next = update;
    const auto scale = static_cast<Real>(update.factor);
    const double values = team.sum(size, [=](Index i) { return squared(weights[i]); });
    const double change = team.sum(size, [=](Index i) {
      const Real mean = next.next(means[i], squared(in[i]));
      const double square = squared(scale * in[i] / root_of(mean));
      return mean <= std::numeric_limits<Real>::max() ? square : std::numeric_limits<double>::infinity();
    });
    double* to = moments.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) {
        to[0] = values;
        to[1] = change;
      }
    });
  }
};

/// How many values would become larger than `largest`, or not finite; a piece of rows a block.
struct AdafactorWholeCheck {
  Tensor value;
  Tensor gradient;
  Tensor v;
  RowPieces pieces;
  MeansUpdate update;
  const double* steps;  ///< (matrices)
  double largest;
  Tensor counts;  ///< (pieces of all matrices, 1) f64

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = pieces.at(block);
    const Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    const Real* means = first_of<Real>(v, piece);
    const MeansUpdate next_mean = update;
    const auto scale = static_cast<Real>(update.factor);
    const auto step = static_cast<Real>(steps[piece.matrix]);
    const double most = largest;
    const double count = team.sum(piece.count * value.columns, [=](Index i) {
      const Real mean = next_mean.next(means[i], squared(in[i]));
      const Real change = step * (scale * in[i] / root_of(mean));
      const double next = static_cast<double>(weights[i]) - static_cast<double>(change);
      return next >= -most && next <= most && mean <= std::numeric_limits<Real>::max() ? 0.0 : 1.0;
    });
    double* to = counts.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = count;
    });
  }
};

/// value -= step u, its image, and the next v; a piece of rows a block.
struct AdafactorWholeApply {
  Tensor value;
  Tensor gradient;
  Tensor image;  ///< (matrices, rows, columns) low: the new values, rounded; may be none
  Tensor v;
  RowPieces pieces;
  MeansUpdate update;
  const double* steps;  ///< (matrices)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const RowPieces::Piece piece = pieces.at(block);
    const Index width = value.columns;
    Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    Real* means = first_of<Real>(v, piece);
    const MeansUpdate next = update;
    const auto scale = static_cast<Real>(update.factor);
    const auto step = static_cast<Real>(steps[piece.matrix]);
    team.each(piece.count * width, [=](Index i) {
      means[i] = next.next(means[i], squared(in[i]));
      weights[i] -= step * (scale * in[i] / root_of(means[i]));
    });
    if (image.data == nullptr) return;
    for (Index row = 0; row < piece.count; ++row, weights += width) {
      Low* rounded_to = first_of<Low>(image, piece) + row * image.stride;
      team.each(width, [=](Index j) { rounded_to[j] = stored_as<Low>(weights[j]); });
    }
  }
};

}  // namespace millrace
