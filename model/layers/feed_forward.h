#pragma once

#include "model/matrix.h"
#include "model/ops/gemm.h"

namespace millrace {

/// Weights of one feed-forward network (dense, shared, or one expert) and where their gradients go.
template <class Scalar>
struct FeedForwardWeights {
  /// Released checkpoints store expert tensors [in, out] and all others [out, in].
  enum class Layout : bool { out_in, in_out };

  int hidden = 0;        ///< H
  int intermediate = 0;  ///< F
  Layout layout = Layout::out_in;
  Scalar* gate = nullptr;  ///< out_in: [2F, H]: first F rows give the value v, last F rows the argument g of silu.
  Scalar* up = nullptr;    ///< out_in: [F, H]
  Scalar* down = nullptr;  ///< out_in: [H, F]
  Scalar* gate_grad = nullptr;
  Scalar* up_grad = nullptr;
  Scalar* down_grad = nullptr;
  const Bf16* gate_image = nullptr;  ///< As Parameter::image.
  const Bf16* up_image = nullptr;
  const Bf16* down_image = nullptr;

  Precision precision() const { return gate_image == nullptr ? Precision::f32 : Precision::bf16; }
};

/// Activations that backward needs: views of the caller's memory.
template <class Scalar>
struct FeedForwardSaved {
  View<Scalar> gate;                          ///< (N, 2F): v, g
  View<Scalar> up;                            ///< (N, F): u
  View<Scalar> hidden;                        ///< (N, F): v silu(g) u
  View<Bf16> hidden_image = {};               ///< With bf16 weights only, as the next two.
  View<Bf16> gate_image = {}, up_image = {};  ///< Used by backward only, which overwrites them.
};

/// y = (v silu(g) u) Wdown,  (v, g) = x Wgate,  u = x Wup.   x, y: (N, H)
template <class Scalar>
void feed_forward(const FeedForwardWeights<Scalar>& weights, Factor<std::type_identity_t<Scalar>> x,
                  const FeedForwardSaved<Scalar>& saved, View<Scalar> y);

/// Adds to the weights' gradients; overwrites dx, d_hidden (N, F) and, with their gradients, saved.gate and saved.up.
template <class Scalar>
void feed_forward_backward(const FeedForwardWeights<Scalar>& weights, Factor<std::type_identity_t<Scalar>> dy,
                           Factor<std::type_identity_t<Scalar>> x, const FeedForwardSaved<Scalar>& saved,
                           View<Scalar> d_hidden, View<Scalar> dx);

}  // namespace millrace
