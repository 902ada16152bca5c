#pragma once

#include <string>

#include "model/layers/linear.h"
#include "model/layers/rms_norm.h"
#include "model/layers/scratch.h"
#include "model/pass/pass.h"

namespace millrace {

/// A dense or shared feed-forward network behind its norm, of three factors (flaxformer dense.py, colossalai
/// OpenMoeMLP):
///   out = h + (v silu(g) u) Wdown,  (v, g) = x Wgate,  u = x Wup,   x = norm(h)   h, out: (N, H)
class FeedForward {
 public:
  /// What backward needs, but for h, and uses up.
  struct Saved {
    explicit Saved(Device& device) : x(device), inverse(device), gated(device) {}
    Buffer x, inverse, gated;
  };

  /// `norm`: "model.layers.3.post_attention_layernorm.weight"; `network`: "model.layers.3.mlp."
  FeedForward(const ModelConfig& config, const Parameters& parameters, const std::string& norm,
              const std::string& network);

  void forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const;
  /// Turns the gradient of out into that of h, in place; adds to the weights' gradients.
  void backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const;

 private:
  int layer_;
  RmsNorm norm_;
  Linear gate_up_;
  Linear down_;
};

}  // namespace millrace
