#pragma once

#include <optional>

#include "model/layers/batch_layout.h"
#include "model/layers/expert_layer.h"
#include "model/layers/feed_forward.h"
#include "model/layers/rms_norm.h"
#include "model/layers/self_attention.h"
#include "model/profile.h"

namespace millrace {

/// One layer, in place on the residual stream h (N, H):
///   h += Attention(norm(h));  h += FFN(norm(h))                                  dense layer
///   h += Attention(norm(h));  h += MoE(norm(h));  h += SharedFFN(own norm(h))    MoE layer
template <class Scalar>
class Block {
 public:
  /// What backward needs: each sub-layer's input before and after its norm, and what the sub-layers keep.
  struct Saved {
    Matrix<Scalar> attention_h, attention_x;
    Matrix<Scalar> experts_h, experts_x;
    Matrix<Scalar> dense_h, dense_x;
    Image<Scalar> attention_image, dense_image;  ///< Of the two x.
    typename Attention<Scalar>::Saved attention;
    typename ExpertLayer<Scalar>::Saved experts;
    Matrix<Scalar> gate, up, hidden;
    Matrix<Bf16> hidden_image;  ///< With bf16 weights only.
  };
  /// Shared by all layers.
  struct Scratch {
    Matrix<Scalar> y;  ///< (N, H): a sub-layer's output, or the gradient of its input.
    Matrix<Scalar> d_hidden;
    Matrix<Scalar> norm;
    Image<Scalar> dh;
    Matrix<Bf16> gate_image, up_image;  ///< With bf16 weights only.
    typename Attention<Scalar>::Scratch attention;
    typename ExpertLayer<Scalar>::Scratch experts;
  };
  /// The same for all layers of one pass.
  struct Context {
    const BatchLayout* layout = nullptr;
    const Rope<Scalar>* rope = nullptr;
    Mode mode = Mode::eval;
    typename Router<Scalar>::LossScales scales;  ///< For backward.
    Profile* profile = nullptr;                  ///< Null: no timing.
  };

  Block(const ModelConfig& config, Parameters<Scalar>& parameters, int layer);

  bool has_experts() const { return experts_.has_value(); }
  void forward(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const;
  /// Turns the gradient of the layer's output into that of its input, in place; adds to the weights' gradients.
  /// `saved` is used up.
  void backward(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> dh) const;

  /// The part of forward after attention, for callers with their own attention, whose output is already added to h.
  void feed(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const;
  const RmsNorm<Scalar>& attention_norm() const { return attention_norm_; }
  const Attention<Scalar>& attention() const { return attention_; }

 private:
  FeedForwardSaved<Scalar> dense_memory(Index rows, Saved& saved, Scratch& scratch) const;
  void feed_dense(const Context& context, Saved& saved, Scratch& scratch, View<Scalar> h) const;

  RmsNorm<Scalar> attention_norm_;
  Attention<Scalar> attention_;
  std::optional<RmsNorm<Scalar>> experts_norm_;
  std::optional<ExpertLayer<Scalar>> experts_;
  RmsNorm<Scalar> dense_norm_;  ///< Before the dense or the shared network.
  FeedForwardWeights<Scalar> dense_;
};

/// to += from, same shapes.
template <class Scalar>
void add(View<const Scalar> from, View<Scalar> to);

extern template class Block<float>;
extern template class Block<double>;

}  // namespace millrace
