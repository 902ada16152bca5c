#pragma once

#include <type_traits>

#include "model/matrix.h"
#include "model/ops/operand.h"

namespace millrace {

/// c = a b or c += a b;  a: (M, K)  b: (K, N)  c: (M, N)
/// Names say which operand is stored transposed:  t: transposed, n: not transposed.
///   nn  a (M, K)  b (K, N)
///   nt  a (M, K)  b (N, K)   y = x W^T with W [out, in]
///   tn  a (K, M)  b (K, N)   dW = dy^T x
/// Reads the bf16 images, with f32 sums, if both factors have one.
/// matmul_* uses all OpenMP threads on fixed pieces of c: the same bits for any number of threads. Between pieces it
/// checks for a stop request, and throws Stopped. Mismatched shapes throw std::logic_error with both shapes.
template <class Scalar>
void matmul_nn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);
template <class Scalar>
void matmul_nt(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);
template <class Scalar>
void matmul_tn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into = Into::overwrite);

/// The same product on the calling thread alone: for use inside a parallel region. Shapes are not checked.
template <class Scalar>
void serial_matmul(View<const std::type_identity_t<Scalar>> a, Stored a_stored,
                   View<const std::type_identity_t<Scalar>> b, Stored b_stored, View<Scalar> c, Into into);

}  // namespace millrace
