#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/kernels/row_pieces.h"
#include "model/matrix.h"
#include "model/parameters/parameter_spec.h"

namespace millrace {

/// How Adafactor treats one parameter, and where its numbers lie among those of all.
struct AdafactorSlot {
  std::string name;
  bool factored = false;
  Index matrices = 1;  ///< Experts, or 1.
  Index rows = 0;      ///< Of each.
  Index columns = 0;
  RowPieces pieces;
  Index first_matrix = 0;
  Index first_piece = 0;
  Index first_state = 0;  ///< factored: v_row (matrices, rows), then v_col (matrices, columns); else v
  Index first_rms = 0;    ///< factored: likewise, of the gradient

  Index blocks() const { return matrices * pieces.pieces; }
  Index sides() const { return matrices * (rows + columns); }
  Index state_size() const { return factored ? sides() : matrices * rows * columns; }
};

/// All of them, and how many numbers they have.
struct AdafactorLayout {
  /// Matrices whose smaller side is at least `min_dim_size_to_factor` are factored, and all matrices of experts.
  AdafactorLayout(const std::vector<ParameterSpec>& specs, std::int64_t min_dim_size_to_factor);

  std::vector<AdafactorSlot> slots;
  /// Of all parameters together:
  Index matrices = 0;
  Index pieces = 0;
  Index state = 0;  ///< Numbers of the state.
  Index rms = 0;    ///< Of the root mean squares of gradients.
  /// What the parameters use in turn:
  Index factors = 0;      ///< Numbers: a row factor for each row, a column factor for each column.
  Index row_sums = 0;     ///< Doubles: one for each piece.
  Index column_sums = 0;  ///< Doubles: one for each column of each piece of a matrix.
};

}  // namespace millrace
