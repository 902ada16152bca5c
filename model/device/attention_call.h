#pragma once

#include <cstdint>

#include "model/tensor.h"

namespace millrace {

/// Attention of all heads of all rows at once: out = softmax(q k^T over the keys a query sees) v, q k^T not scaled.
///   q, out (rows * Q, heads * D), k, v (rows * (start + Q), heads * D): windows on wider matrices, of the low type
///   log_sum (heads, rows * Q): each query's log sum of exponentials, of the real type
/// The rows of k and v may be more where `rows` is 1: a cache, of which the rest is not read.
/// Query i of a row is position start + i and sees keys first_key[i] .. start + i of its row; none if first_key[i] is
/// larger: then its out is zero. first_key: (rows * Q) i32; within a row it never decreases.
struct AttentionCall {
  Index rows = 0;  ///< B
  Index heads = 0;
  Index start = 0;  ///< Keys that stand before the queries: a cache.
  Tensor q, k, v, out, log_sum, first_key;
  /// All of first_key is 0: rows of one segment, for which there may be a faster way with the same meaning.
  bool is_causal = false;
  /// (rows * Q): start + i of each query, in the device's memory, for work that is recorded; or null.
  const std::int32_t* position = nullptr;
};

/// The gradient of it, with start = 0: dq, dk and dv are overwritten. d_out, dq, dk, dv are of the low type.
struct AttentionGradient {
  AttentionCall forward;
  Tensor d_out, dq, dk, dv;
};

}  // namespace millrace
