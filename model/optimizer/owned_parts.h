#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/kernels/row_pieces.h"
#include "model/parameters/parameter.h"
#include "model/tensor.h"

namespace millrace {

/// What of a parameter one optimizer updates where several share the work: whole matrices, or some rows of one matrix,
/// cut at its pieces of rows (model/kernels/row_pieces.h).
struct ParameterPart {
  std::size_t parameter = 0;  ///< Place in the list of all.
  Index first_matrix = 0;
  Index matrices = 1;
  Index first_row = 0;
  Index rows = 0;  ///< Of each matrix.

  bool operator==(const ParameterPart&) const = default;
};

std::vector<ParameterSpec> specs_of(const Parameters& parameters);

/// All of each parameter, in order.
std::vector<ParameterPart> whole_parameters(const std::vector<ParameterSpec>& specs);

/// All of the model's parameters, `specs`, of which those in `here` have memory: whole tensors, or some of a tensor's
/// matrices, which then stand in the place that they have in the whole. Only what is here may be touched.
Parameters as_whole(const std::vector<ParameterSpec>& specs, const Parameters& here);

/// A part of a tensor of the parameter's shape; of none, none.
Tensor part_of(const Tensor& whole, const ParameterPart& part);

/// Consecutive pieces of rows, by their numbers.
struct PieceRange {
  Index first = 0;
  Index count = 0;

  bool operator==(const PieceRange&) const = default;
};

/// Numbers the pieces of rows of all parameters: matrix by matrix, parameter by parameter.
class PieceNumbers {
 public:
  explicit PieceNumbers(const std::vector<ParameterSpec>& specs);

  Index count() const { return count_; }
  PieceRange all() const { return {0, count_}; }
  PieceRange of(std::size_t parameter) const;
  PieceRange of(std::size_t parameter, Index matrix) const;
  PieceRange of(const ParameterPart& part) const;

  RowPieces pieces(std::size_t parameter) const { return parameters_[parameter].pieces; }  ///< Of a matrix.
  /// Of a part's rows in each of its matrices, as if there were no others.
  RowPieces pieces(const ParameterPart& part) const;
  /// Whether a part is less than a whole matrix.
  bool is_cut(const ParameterPart& part) const { return part.rows < parameters_[part.parameter].pieces.rows; }

  /// Throws std::logic_error unless the parts are in the order of parameters, matrices and rows, without overlap, cut
  /// at pieces of rows, and at most one of each cut matrix.
  void expect_parts(const std::vector<ParameterPart>& parts) const;

 private:
  struct Numbered {
    RowPieces pieces;
    Index matrices;
    Index first;
  };
  std::vector<Numbered> parameters_;
  Index count_ = 0;
};

/// How optimizers that share one model's parameters tell each other the sums over their pieces of rows, so that each
/// adds up all pieces in order, and all come to the same numbers, however many they are.
class PartExchange {
 public:
  virtual ~PartExchange() = default;
  /// `table` has equally many numbers for each of `pieces`, those of the pieces that are here filled in; fills in the
  /// others'. `pieces` are all there are, and then every owner calls this, also one that has none; or those of one
  /// matrix of which this owner has some but not all, and then its owners do. All make their calls in one order.
  virtual void complete(PieceRange pieces, std::span<double> table) = 0;
};

/// What one optimizer updates of the parameters that it is made for.
struct OwnedParts {
  std::vector<ParameterPart> parts;  ///< As PieceNumbers::expect_parts().
  PartExchange* exchange = nullptr;  ///< Null if `parts` are everything. Outlives the optimizer.
};

}  // namespace millrace
