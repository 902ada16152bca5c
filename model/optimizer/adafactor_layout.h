#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/kernels/row_pieces.h"
#include "model/matrix.h"
#include "model/optimizer/owned_parts.h"
#include "model/parameters/parameter_spec.h"

namespace millrace {

/// How Adafactor treats one parameter.
struct AdafactorParameter {
  std::string name;
  bool factored = false;
  Index matrices = 1;  ///< Experts, or 1.
  Index rows = 0;      ///< Of each.
  Index columns = 0;
  Index first_matrix = 0;  ///< Among those of all parameters.
};

/// A part of one that is updated here, and where its numbers lie among those of all parts.
struct AdafactorSlot {
  ParameterPart part;
  bool factored = false;
  bool is_cut = false;  ///< Less than a whole matrix.
  Index columns = 0;
  RowPieces pieces;        ///< Of the part's rows in each of its matrices.
  RowPieces whole;         ///< Of a matrix; as `pieces` unless it is cut.
  Index before = 0;        ///< Pieces of the matrix before the part.
  PieceRange numbers;      ///< Of the part's pieces, among those of all parameters.
  Index first_matrix = 0;  ///< Among those of all parameters.
  Index first_state = 0;   ///< factored: v_row (matrices, rows), then v_col (matrices, columns); else v
  Index first_rms = 0;     ///< factored: likewise, of the gradient
  Index first_sum = 0;     ///< is_cut: of the sums of whole matrices' rows

  Index matrices() const { return part.matrices; }
  Index rows() const { return part.rows; }
  Index blocks() const { return numbers.count; }
  Index sides() const { return matrices() * (rows() + columns); }
  Index state_size() const { return factored ? sides() : matrices() * rows() * columns; }
};

/// All of them, and how many numbers they have.
struct AdafactorLayout {
  /// Matrices whose smaller side is at least `min_dim_size_to_factor` are factored, and all matrices of experts.
  AdafactorLayout(const std::vector<ParameterSpec>& specs, const std::vector<ParameterPart>& parts,
                  std::int64_t min_dim_size_to_factor);

  PieceNumbers numbers;
  std::vector<AdafactorParameter> parameters;
  std::vector<AdafactorSlot> slots;
  Index matrices = 0;  ///< Of all parameters.
  /// Of all parts together:
  Index state = 0;     ///< Numbers of the state.
  Index rms = 0;       ///< Of the root mean squares of gradients.
  Index cut_sums = 0;  ///< Doubles: one for each piece of the matrices of cut parts.
  /// What the parts use in turn:
  Index factors = 0;      ///< Numbers: a row factor for each row, a column factor for each column.
  Index row_sums = 0;     ///< Doubles: one for each piece.
  Index column_sums = 0;  ///< Doubles: one for each column of each piece of a whole matrix.
};

}  // namespace millrace
