#pragma once

#include "model/lanes/streams.h"

namespace millrace {

/// How matrices are cut for sums over them: into pieces of whole rows that depend on the shape of one matrix alone. A
/// sum over a matrix is that of its pieces' sums, in order, so that whoever has some of the pieces can make their part
/// of it. Blocks count the pieces of a batch of matrices, one matrix after the other.
struct RowPieces {
  static constexpr Index kMost = 1024;  ///< Pieces of a matrix: enough for every processor of a card.
  static constexpr Index kLeastElements = 1 << 14;
  static constexpr Index kLeastRows = 16;  ///< Sums of columns, a double a piece, take an eighth of the matrix then.

  Index rows = 0;        ///< Of a matrix.
  Index piece_rows = 1;  ///< Of a piece; the last one may have fewer.
  Index pieces = 0;      ///< Of a matrix.

  static constexpr RowPieces of(Index rows, Index columns) {
    const auto parts = [](Index count, Index size) { return (count + size - 1) / size; };
    const Index enough = parts(kLeastElements, columns) > kLeastRows ? parts(kLeastElements, columns) : kLeastRows;
    const Index piece_rows = parts(rows, kMost) > enough ? parts(rows, kMost) : enough;
    return {rows, piece_rows, parts(rows, piece_rows)};
  }

  struct Piece {
    Index matrix;  ///< Of the batch.
    Index number;  ///< In the matrix.
    Index first;   ///< Row of the matrix.
    Index count;   ///< Rows; at least 1.
  };
  MILLRACE_HD Piece at(Index block) const {
    const Index matrix = block / pieces;
    const Index number = block % pieces;
    const Index first = number * piece_rows;
    return {matrix, number, first, rows - first < piece_rows ? rows - first : piece_rows};
  }
};

/// Number by number, in double: the square of no float overflows.
MILLRACE_HD double squared(double number) {
  return number * number;
}

/// The numbers of a piece's first row and, as rows follow each other without gaps, of all of it.
template <class Real>
MILLRACE_HD Real* first_of(const Tensor& x, const RowPieces::Piece& piece) {
  return x.row<Real>(0) + piece.matrix * x.batch_stride + piece.first * x.stride;
}

/// The sum of squares of each piece of rows, a block.
struct SumSquares {
  Tensor x;  ///< (batch, rows, columns) real, without gaps
  RowPieces pieces;
  Tensor sums;  ///< (pieces of all matrices, 1 or more) f64: the first column

  template <class Numbers, class Team>
  MILLRACE_HD void operator()(const Team& team, Index block) const {
    using Real = typename Numbers::Real;
    const RowPieces::Piece piece = pieces.at(block);
    const Real* in = first_of<Real>(x, piece);
    const double sum = sum_numbers(
        team, piece.count * x.columns, [](Real number) { return squared(number); }, reading(in));
    double* to = sums.row<double>(block);
    team.lanes([=](int lane) {
      if (lane == 0) to[0] = sum;
    });
  }
};

}  // namespace millrace
