#pragma once

#include <cstdint>

#include "model/matrix.h"

namespace millrace {

/// Queries per block.
inline constexpr Index kQueryBlock = 64;

/// What one head of one row attends to: query i is position `start + i` of the row and sees keys first_key[i] .. start
/// + i (none if first_key[i] is larger). first_key never decreases.
struct KeyRange {
  const std::int32_t* first_key = nullptr;
  Index start = 0;
};

/// Scratch memory of one thread.
template <class Scalar>
struct HeadScratch {
  Matrix<Scalar> scores;
  Matrix<Scalar> gradient;
};

/// out = softmax(q k^T over the keys it sees) v, without a scaling of q k^T. A query that sees nothing gives zero.
///   q, out: (Q, D)   k, v: (start + Q, D)   log_sum: (Q) receives each query's log sum of exponentials
/// Works in blocks of queries on the calling thread alone.
template <class Scalar>
void head_forward(View<const Scalar> q, View<const Scalar> k, View<const Scalar> v, const KeyRange& keys,
                  HeadScratch<Scalar>& scratch, View<Scalar> out, Scalar* log_sum);

/// Inputs and results of head_backward; names as in head_forward.
template <class Scalar>
struct HeadGradient {
  View<const Scalar> q, k, v, out, d_out;
  const Scalar* log_sum = nullptr;
  View<Scalar> dq;      ///< Overwritten.
  View<Scalar> dk, dv;  ///< Added to.
};

template <class Scalar>
void head_backward(const HeadGradient<Scalar>& head, const KeyRange& keys, HeadScratch<Scalar>& scratch);

}  // namespace millrace
