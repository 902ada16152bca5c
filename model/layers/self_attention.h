#pragma once

#include <string>

#include "model/layers/batch_layout.h"
#include "model/matrix.h"
#include "model/ops/attention.h"
#include "model/ops/gemm.h"
#include "model/ops/rope.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// Multi-head attention, causal and within a segment, with RoPE on queries and keys; q k^T is not scaled.
///   y = concat_heads(softmax(rope(x Wq^T) rope(x Wk^T)^T) x Wv^T) Wo^T     x, y: (N, H)   W: [A, H], Wo: [H, A]
/// A = heads * head_dim.
template <class Scalar>
class Attention {
 public:
  /// What backward needs; q and k are after RoPE.
  struct Saved {
    Matrix<Scalar> q, k, v, context;  ///< (N, A)
    Matrix<Scalar> log_sum;           ///< (heads, N)
    Image<Scalar> context_image;
  };
  struct Scratch {
    Matrix<Scalar> dq, dk, dv, d_context;  ///< (N, A)
    Image<Scalar> dq_image, dk_image, dv_image;
  };

  /// `prefix`: "model.layers.3.self_attn."
  Attention(const ModelConfig& config, Parameters<Scalar>& parameters, const std::string& prefix);

  /// q, k and v of x, with RoPE at `position` applied to q and k: (N, A) each.
  void project(Factor<Scalar> x, const std::int32_t* position, const Rope<Scalar>& rope, View<Scalar> q, View<Scalar> k,
               View<Scalar> v) const;
  /// The context of every head of every row, of q, k and v after project: softmax(q k^T) v. Each row has Q queries at
  /// its end, and keys of the positions before them too: `keys`, whose first_key has one for each query of all rows.
  ///   q, context: (rows * Q, A)   k, v: (rows * (start + Q), A)   log_sum: (heads, rows * Q)
  void attend(int rows, View<const Scalar> q, View<const Scalar> k, View<const Scalar> v, const KeyRange& keys,
              View<Scalar> context, View<Scalar> log_sum) const;
  /// y = context Wo^T
  void output(Factor<Scalar> context, View<Scalar> y) const;

  void forward(Factor<Scalar> x, const BatchLayout& layout, const Rope<Scalar>& rope, Saved& saved,
               View<Scalar> y) const;
  /// Adds to the weights' gradients; overwrites dx.
  void backward(Factor<Scalar> dy, Factor<Scalar> x, const BatchLayout& layout, const Rope<Scalar>& rope,
                const Saved& saved, Scratch& scratch, View<Scalar> dx) const;

 private:
  Factor<Scalar> weight(const Parameter<Scalar>& parameter) const;
  View<Scalar> gradient(const Parameter<Scalar>& parameter) const;

  int heads_;
  int head_dim_;
  const Parameter<Scalar>* q_;
  const Parameter<Scalar>* k_;
  const Parameter<Scalar>* v_;
  const Parameter<Scalar>* o_;
};

extern template class Attention<float>;
extern template class Attention<double>;

}  // namespace millrace
