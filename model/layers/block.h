#pragma once

#include <optional>

#include "model/layers/experts.h"
#include "model/layers/feed_forward.h"
#include "model/layers/self_attention.h"

namespace millrace {

/// One layer on the residual stream h (N, H):
///   h += Attention(norm(h));  h += FFN(norm(h))                                  dense layer
///   h += Attention(norm(h));  h += MoE(norm(h));  h += SharedFFN(own norm(h))    MoE layer
class Block {
 public:
  /// What backward needs, but for the layer's input: the stream between the sub-layers, and what they keep.
  struct Saved {
    explicit Saved(Device& device)
        : behind_attention(device), behind_experts(device), attention(device), experts(device), dense(device) {}
    Buffer behind_attention, behind_experts;
    SelfAttention::Saved attention;
    Experts::Saved experts;
    FeedForward::Saved dense;
  };

  Block(const ModelConfig& config, const Parameters& parameters, int layer);

  const std::optional<Experts>& experts() const { return experts_; }
  /// `out` may be where h is.
  void forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const;
  /// Turns the gradient of the layer's output into that of its input, in place; adds to the weights' gradients.
  /// `saved` is used up.
  void backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const;
  /// As forward, for `h.rows` new positions of one row, over the keys and values of those before: see
  /// SelfAttention::feed.
  void feed(const Pass& pass, const Tensor& h, const KeyValueCache& cache, Saved& saved, Scratch& scratch,
            const Tensor& out) const;

 private:
  void behind(const Pass& pass, Saved& saved, Scratch& scratch, const Tensor& out) const;

  SelfAttention attention_;
  std::optional<Experts> experts_;
  FeedForward dense_;
};

}  // namespace millrace
