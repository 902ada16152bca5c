#pragma once

#include <limits>

#include "model/kernels/row_pieces.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// The factors of one update of AdamW; see model/optimizer/adamw.h.
struct AdamWStep {
  double gradient;  ///< c: gradients count as c times what lies in memory.
  double beta1, beta2;
  double rate;        ///< learning_rate / (1 - beta1^t)
  double root_scale;  ///< 1 / sqrt(1 - beta2^t)
  double eps;
  double kept;  ///< 1 - learning_rate weight_decay

  /// The same in the type that it is computed in.
  template <class Real>
  struct In {
    Real gradient, beta1, beta2, from_gradient, from_square, rate, root_scale, eps, kept;

    MILLRACE_HD Real next_m(Real m, Real g) const { return beta1 * m + from_gradient * (gradient * g); }
    MILLRACE_HD Real next_v(Real v, Real g) const {
      return beta2 * v + from_square * ((gradient * g) * (gradient * g));
    }
    MILLRACE_HD Real next_value(Real value, Real m, Real v) const {
      return kept * value - rate * m / (root_of(v) * root_scale + eps);
    }
  };
  template <class Real>
  MILLRACE_HD In<Real> in() const {
    const auto as = [](double number) { return static_cast<Real>(number); };
    return {as(gradient), as(beta1),      as(beta2), as(1 - beta1), as(1 - beta2),
            as(rate),     as(root_scale), as(eps),   as(kept)};
  }
};

/// How many values would become larger than `largest`, or means not finite; a piece of rows a block.
struct AdamWCheck {
  Tensor value;  ///< (batch, rows, columns) real, as all of these
  Tensor gradient;
  Tensor m, v;
  RowPieces pieces;
  AdamWStep step;
  double largest;
  Tensor counts;  ///< (pieces of all matrices, 1 or more) f64: the first column

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = pieces.at(block);
    const Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    const Real* of_m = first_of<Real>(m, piece);
    const Real* of_v = first_of<Real>(v, piece);
    const auto next = step.in<Real>();
    const auto most = static_cast<Real>(largest);
    constexpr Real kMost = std::numeric_limits<Real>::max();
    // Comparisons with NaN are false.
    const auto is_bad = [=](Real weight, Real g, Real mean, Real square) {
      const Real next_m = next.next_m(mean, g);
      const Real next_v = next.next_v(square, g);
      const Real next_weight = next.next_value(weight, next_m, next_v);
      return next_m >= -kMost && next_m <= kMost && next_v <= kMost && next_weight >= -most && next_weight <= most ? 0
                                                                                                                   : 1;
    };
    const auto count = sum_numbers(team, piece.count * value.columns, is_bad, reading(weights), reading(in),
                                   reading(of_m), reading(of_v));
    double* to = counts.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = count;
    });
  }
};

/// The update, the image of the new values, and sums of squares of the values before and of their change; a piece of
/// rows a block.
struct AdamWApply {
  Tensor value;  ///< (batch, rows, columns) real, as all but the image
  Tensor gradient;
  Tensor image;  ///< low: the new values, rounded; may be none
  Tensor m, v;
  RowPieces pieces;
  AdamWStep step;
  Tensor sums;  ///< (pieces of all matrices, 2) f64

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const RowPieces::Piece piece = pieces.at(block);
    const Index width = value.columns;
    Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    Real* of_m = first_of<Real>(m, piece);
    Real* of_v = first_of<Real>(v, piece);
    const auto next = step.in<Real>();
    double before = 0;
    double change = 0;
    for (Index row = 0; row < piece.count; ++row, weights += width, in += width, of_m += width, of_v += width) {
      before += sum_numbers(
          team, width, [](Real weight) { return squared(weight); }, reading(weights));
      const auto change_of = [=](Real g, Real& mean, Real& square, Real& weight) {
        const Real old = weight;
        mean = next.next_m(mean, g);
        square = next.next_v(square, g);
        weight = next.next_value(old, mean, square);
        return squared(weight - old);
      };
      change += sum_numbers(team, width, change_of, reading(in), updating(of_m), updating(of_v), updating(weights));
      if (image.data == nullptr) continue;
      Low* rounded_to = first_of<Low>(image, piece) + row * image.stride;
      for_numbers(
          team, width, [](Real weight, Real& to) { to = weight; }, reading(weights), writing(rounded_to));
    }
    double* to = sums.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) {
        to[0] = before;
        to[1] = change;
      }
    });
  }
};

}  // namespace millrace
