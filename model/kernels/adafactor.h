#pragma once

#include <cmath>
#include <limits>

#include "model/kernels/row_pieces.h"
#include "model/lanes/vector_math.h"

namespace millrace {

/// What an update of Adafactor's means of squared gradients depends on; see model/optimizer/adafactor.h.
struct MeansUpdate {
  double beta2;
  double eps1;
  double factor;  ///< c: gradients count as c times what lies in memory.

  /// The next mean, from the last one and the mean square of gradients.
  template <class Real>
  MILLRACE_HD Real next(Real mean, double square) const {
    return static_cast<Real>(beta2 * mean + (1 - beta2) * (factor * factor * square + eps1));
  }
};

/// Batches of matrices whose means are kept by row and by column, or some pieces of one matrix. Pieces are numbered as
/// RowPieces does.
struct FactoredMeans {
  Index columns;         ///< Of a matrix.
  RowPieces pieces;      ///< Of the rows that are here, which are all below but in `row_sums`.
  RowPieces whole;       ///< Of a matrix.
  Index before;          ///< Pieces of the matrix before those that are here.
  void* v_row;           ///< (matrices, rows) real
  void* v_col;           ///< (matrices, columns) real
  const void* row_rms;   ///< (matrices, rows) real: root mean squares of the gradient's rows
  const void* col_rms;   ///< (matrices, columns) real: of its columns
  double* row_sums;      ///< (pieces of all whole matrices): of the next v_row
  void* row_factors;     ///< (matrices, rows) real
  void* column_factors;  ///< (matrices, columns) real
  MeansUpdate update;

  /// The next mean of row or column i of all matrices.
  template <class Real>
  MILLRACE_HD Real next_row(Index i) const {
    return update.next(static_cast<const Real*>(v_row)[i], squared(static_cast<const Real*>(row_rms)[i]));
  }
  template <class Real>
  MILLRACE_HD Real next_column(Index i) const {
    return update.next(static_cast<const Real*>(v_col)[i], squared(static_cast<const Real*>(col_rms)[i]));
  }

  /// The columns of a matrix are shared among its pieces.
  struct Share {
    Index first, count;  ///< May be empty.
  };
  MILLRACE_HD Share columns_of(const RowPieces::Piece& piece) const {
    const Index share = (columns + pieces.pieces - 1) / pieces.pieces;
    const Index begin = piece.number * share < columns ? piece.number * share : columns;
    return {begin, columns - begin < share ? columns - begin : share};
  }
};

/// The gradient's sums of squares: of a piece of rows, a block; of its columns; and the rows' root mean squares.
struct AdafactorSums {
  Tensor gradient;  ///< (matrices, rows, columns) real
  RowPieces pieces;
  Tensor sums;         ///< (pieces of all matrices, 1 or more) f64: the first column
  Tensor column_sums;  ///< (pieces of all matrices, columns) f64
  void* row_rms;       ///< (matrices, rows) real

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = pieces.at(block);
    const Index width = gradient.columns;
    const Real* in = first_of<Real>(gradient, piece);
    Real* rms = static_cast<Real*>(row_rms) + piece.matrix * pieces.rows + piece.first;
    double* of_columns = column_sums.row<double>(block);
    clear_numbers(team, width, of_columns);
    double sum = 0;
    for (Index row = 0; row < piece.count; ++row, in += width) {
      const auto add_square = [](Real number, double& of_column) {
        const double square = squared(number);
        of_column += square;
        return square;
      };
      const double of_row = sum_numbers(team, width, add_square, reading(in), updating(of_columns));
      sum += of_row;
      team.lanes([=](int lane) {
        if (lane == 0) rms[row] = static_cast<Real>(root_of(of_row / static_cast<double>(width)));
      });
    }
    double* to = sums.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = sum;
    });
  }
};

/// Root mean squares of columns from the pieces' sums; kColumns columns of a matrix a block.
struct AdafactorColumns {
  static constexpr Index kColumns = 16;

  Tensor column_sums;  ///< (pieces of all matrices, columns) f64
  RowPieces pieces;
  void* col_rms;  ///< (matrices, columns) real

  static constexpr Index tiles(Index columns) { return (columns + kColumns - 1) / kColumns; }

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const Index columns = column_sums.columns;
    const Index matrix = block / tiles(columns);
    const Index first = block % tiles(columns) * kColumns;
    const Index count = columns - first < kColumns ? columns - first : kColumns;
    const double* sums = column_sums.row<double>(matrix * pieces.pieces) + first;
    const Index stride = column_sums.stride;
    Real* rms = static_cast<Real*>(col_rms) + matrix * columns + first;
    const auto rows = static_cast<double>(pieces.rows);
    team.template sums<kColumns, 8>(
        pieces.pieces, [=](int j, Index piece) { return j < count ? sums[piece * stride + j] : 0.0; },
        [=](int j, double sum) {
          if (j < count) rms[j] = static_cast<Real>(root_of(sum / rows));
        });
  }
};

/// Sums of the next v_row, a piece of rows a block.
struct AdafactorRowSums {
  FactoredMeans means;

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = means.pieces.at(block);
    const Index first = piece.matrix * means.pieces.rows + piece.first;
    const FactoredMeans& m = means;
    const double sum =
        team.sum(piece.count, [&m, first](Index i) { return static_cast<double>(m.next_row<Real>(first + i)); });
    double* to = means.row_sums + means.before + block;
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = sum;
    });
  }
};

/// The factors of u = g row_factor column_factor, a piece of rows and its share of the columns a block:
///   row_factor = c / sqrt(v_row / mean(v_row))     column_factor = 1 / sqrt(v_col)     of the next means
struct AdafactorFactors {
  FactoredMeans means;
  Tensor bounds;  ///< (pieces of all matrices, 2) f64: the largest row factor, the least column factor

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const FactoredMeans& m = means;
    const RowPieces::Piece piece = m.pieces.at(block);
    double mean = 0;
    for (Index i = 0; i < m.whole.pieces; ++i) mean += m.row_sums[piece.matrix * m.whole.pieces + i];
    mean /= static_cast<double>(m.whole.rows);
    const double scale = m.update.factor;
    const Index first_row = piece.matrix * m.pieces.rows + piece.first;
    Real* of_rows = static_cast<Real*>(m.row_factors) + first_row;
    team.each(piece.count, [=, &m](Index i) {
      of_rows[i] = static_cast<Real>(scale / root_of(static_cast<double>(m.next_row<Real>(first_row + i)) / mean));
    });
    const FactoredMeans::Share share = m.columns_of(piece);
    const Index first_column = piece.matrix * m.columns + share.first;
    Real* of_columns = static_cast<Real*>(m.column_factors) + first_column;
    team.each(share.count, [=, &m](Index i) {
      of_columns[i] = static_cast<Real>(1 / root_of(static_cast<double>(m.next_column<Real>(first_column + i))));
    });
    const double largest = team.max(piece.count, [=](Index i) { return static_cast<double>(of_rows[i]); });
    double least = std::numeric_limits<double>::infinity();
    if (share.count > 0) least = -team.max(share.count, [=](Index i) { return -static_cast<double>(of_columns[i]); });
    double* to = bounds.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) {
        to[0] = largest;
        to[1] = least;
      }
    });
  }
};

/// Sums of squares of values and of u, a piece of rows a block.
struct AdafactorMoments {
  FactoredMeans means;
  Tensor value;     ///< (matrices, rows, columns) real
  Tensor gradient;  ///< Likewise.
  Tensor moments;   ///< (pieces of all matrices, 2) f64

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = means.pieces.at(block);
    const Index width = means.columns;
    const Real* weights = first_of<Real>(value, piece);
    const auto square = [](Real number) { return squared(number); };
    const double values = sum_numbers(team, piece.count * width, square, reading(weights));
    const Real* in = first_of<Real>(gradient, piece);
    const Real* of_rows = static_cast<const Real*>(means.row_factors) + piece.matrix * means.pieces.rows + piece.first;
    const Real* of_columns = static_cast<const Real*>(means.column_factors) + piece.matrix * width;
    double update = 0;
    for (Index row = 0; row < piece.count; ++row, in += width) {
      const Real of_row = of_rows[row];
      const auto change = [=](Real g, Real of_column) { return squared(g * of_row * of_column); };
      update += sum_numbers(team, width, change, reading(in), reading(of_columns));
    }
    double* to = moments.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) {
        to[0] = values;
        to[1] = update;
      }
    });
  }
};

/// How many values would become larger than `largest`, or not finite; a piece of rows a block. A column factor of 0
/// counts, too: it is that of a mean that is not finite.
struct AdafactorCheck {
  FactoredMeans means;
  Tensor value;
  Tensor gradient;
  const double* steps;  ///< (matrices)
  double largest;
  Tensor counts;  ///< (pieces of all matrices, 1) f64

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = means.pieces.at(block);
    const Index width = means.columns;
    const Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    const Real* of_rows = static_cast<const Real*>(means.row_factors) + piece.matrix * means.pieces.rows + piece.first;
    const Real* of_columns = static_cast<const Real*>(means.column_factors) + piece.matrix * width;
    const auto step = static_cast<Real>(steps[piece.matrix]);
    const double most = largest;
    double count = 0;
    for (Index row = 0; row < piece.count; ++row, in += width, weights += width) {
      const Real of_row = step * of_rows[row];
      const auto is_bad = [=](Real weight, Real g, Real of_column) {
        const double next = static_cast<double>(weight) - static_cast<double>(g * of_row * of_column);
        return next >= -most && next <= most && of_column > 0 ? 0.0 : 1.0;
      };
      count += sum_numbers(team, width, is_bad, reading(weights), reading(in), reading(of_columns));
    }
    double* to = counts.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = count;
    });
  }
};

/// value -= step u, its image, and the next means; a piece of rows and its share of the columns a block.
struct AdafactorApply {
  FactoredMeans means;
  Tensor value;
  Tensor gradient;
  Tensor image;         ///< (matrices, rows, columns) low: the new values, rounded; may be none
  const double* steps;  ///< (matrices)

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    using Low = typename Numbers::Low;
    const FactoredMeans& m = means;
    const RowPieces::Piece piece = m.pieces.at(block);
    const Index width = m.columns;
    Real* weights = first_of<Real>(value, piece);
    const Real* in = first_of<Real>(gradient, piece);
    const Index first_row = piece.matrix * m.pieces.rows + piece.first;
    const Real* of_rows = static_cast<const Real*>(m.row_factors) + first_row;
    const Real* of_columns = static_cast<const Real*>(m.column_factors) + piece.matrix * width;
    const auto step = static_cast<Real>(steps[piece.matrix]);
    for (Index row = 0; row < piece.count; ++row, in += width, weights += width) {
      const Real of_row = step * of_rows[row];
      if (image.data == nullptr) {
        const auto change = [=](Real g, Real of_column, Real& weight) { weight -= g * of_row * of_column; };
        for_numbers(team, width, change, reading(in), reading(of_columns), updating(weights));
        continue;
      }
      const auto change = [=](Real g, Real of_column, Real& weight, Real& rounded_to) {
        weight -= g * of_row * of_column;
        rounded_to = weight;
      };
      for_numbers(team, width, change, reading(in), reading(of_columns), updating(weights),
                  writing(first_of<Low>(image, piece) + row * image.stride));
    }
    Real* v_row = static_cast<Real*>(m.v_row) + first_row;
    team.each(piece.count, [=, &m](Index i) { v_row[i] = m.next_row<Real>(first_row + i); });
    const FactoredMeans::Share share = m.columns_of(piece);
    const Index first_column = piece.matrix * width + share.first;
    Real* v_col = static_cast<Real*>(m.v_col) + first_column;
    team.each(share.count, [=, &m](Index i) { v_col[i] = m.next_column<Real>(first_column + i); });
  }
};

}  // namespace millrace
