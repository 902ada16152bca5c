#pragma once

#include <type_traits>

#include "model/bf16.h"
#include "model/matrix.h"

namespace millrace {

/// Whether a product overwrites the result or adds to it.
enum class Into : bool { overwrite, add };

/// An operand of a product: numbers, and their bf16 copy if the product is to read that. A view.
template <class Scalar>
struct Factor {
  View<const Scalar> full;
  View<const Bf16> image;  ///< Empty: none.

  // NOLINTBEGIN(google-explicit-constructor): a plain view is a factor.
  Factor(View<const Scalar> full_) : full(full_) {}
  Factor(View<Scalar> full_) : full(full_) {}
  // NOLINTEND(google-explicit-constructor)
  Factor(View<const Scalar> full_, View<const Bf16> image_) : full(full_), image(image_) {}

  Factor row_range(Index first, Index count) const {
    if (image.data == nullptr) return {full.row_range(first, count)};
    return {full.row_range(first, count), image.row_range(first, count)};
  }
};

/// Memory for the bf16 image of activations. Images are of floats only.
template <class Scalar>
class Image {
 public:
  /// x with its image made now, or without one if products are in full precision.
  Factor<Scalar> of(View<const Scalar> x, Precision precision) {
    if constexpr (std::is_same_v<Scalar, float>) {
      if (precision == Precision::bf16) {
        bf16_.reshape(x.rows, x.columns);
        round_to(x, bf16_.view());
        return {x, bf16_.view()};
      }
    }
    bf16_.reshape(0, 0);
    return {x};
  }
  /// Room for (rows, columns), so that `of` allocates nothing up to that.
  void reserve(Index rows, Index columns, Precision precision) {
    if (std::is_same_v<Scalar, float> && precision == Precision::bf16) bf16_.reserve(rows * columns);
  }
  /// x with the image made of it before, if one was.
  Factor<Scalar> again(View<const Scalar> x) const {
    if (bf16_.rows() == 0) return {x};
    return {x, bf16_.view()};
  }

 private:
  Matrix<Bf16> bf16_;
};

/// Whether an operand is stored transposed.
enum class Stored : bool { plain, transposed };

}  // namespace millrace
