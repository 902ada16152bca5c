#pragma once

#include <type_traits>

#include "model/bf16.h"
#include "model/matrix.h"

namespace millrace {

/// What becomes of the result's old contents.
enum class Into : bool { overwrite, add };

/// What a product reads: numbers, and their bf16 image if products are to read that. A view.
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

/// c = a b or c += a b;  a: (M, K)  b: (K, N)  c: (M, N)
/// Names say which operand is stored transposed:  t: transposed, n: as it is.
///   nn  a (M, K)  b (K, N)
///   nt  a (M, K)  b (N, K)   y = x W^T with W [out, in]
///   tn  a (K, M)  b (K, N)   dW = dy^T x
/// Reads the bf16 images, with f32 sums, if both factors have one.
/// matmul_* uses all OpenMP threads on fixed pieces of c: the same bits for any number of threads. Between pieces it
/// looks for a request to stop, and throws Stopped.
/// Shapes that do not fit throw std::logic_error with both shapes.
template <class Scalar>
void matmul_nn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);
template <class Scalar>
void matmul_nt(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);
template <class Scalar>
void matmul_tn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);

/// Whether an operand is stored transposed.
enum class Stored : bool { plain, transposed };

/// The same product on the calling thread alone: for use inside a parallel region. Shapes are not checked.
template <class Scalar>
void serial_matmul(View<const std::type_identity_t<Scalar>> a, Stored a_stored,
                   View<const std::type_identity_t<Scalar>> b, Stored b_stored, View<Scalar> c, Into into);

}  // namespace millrace
