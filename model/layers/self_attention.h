#pragma once

#include <string>

#include "model/layers/linear.h"
#include "model/layers/rms_norm.h"
#include "model/layers/scratch.h"
#include "model/pass/pass.h"

namespace millrace {

/// Keys, after RoPE, and values of the positions that were fed before.
struct KeyValueCache {
  Tensor rows;    ///< (context, 2A) low: keys | values
  Index fed = 0;  ///< Positions.
};

/// Multi-head attention behind its norm, causal and within a segment, with RoPE on queries and keys; q k^T is not
/// scaled.
///   out = h + concat_heads(softmax(rope(x Wq^T) rope(x Wk^T)^T) x Wv^T) Wo^T,   x = norm(h)
///   h, out: (N, H)   W: [A, H], Wo: [H, A],   A = heads * head_dim
class SelfAttention {
 public:
  /// What backward needs, but for h; q and k are after RoPE.
  struct Saved {
    explicit Saved(Device& device) : x(device), inverse(device), qkv(device), context(device), log_sum(device) {}
    Buffer x, inverse, qkv, context, log_sum;
  };

  /// `layer`: "model.layers.3."
  SelfAttention(const ModelConfig& config, const Parameters& parameters, const std::string& layer);

  void forward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& out) const;
  /// Turns the gradient of out into that of h, in place; adds to the weights' gradients.
  void backward(const Pass& pass, const Tensor& h, Saved& saved, Scratch& scratch, const Tensor& dh) const;

  /// The same for new positions of one row, which see those before through the cache, and are added to it. On a device
  /// that records, the cache's rows are found by the pass's positions: `fed` is that of the first time.
  void feed(const Pass& pass, const Tensor& h, const KeyValueCache& cache, Saved& saved, Scratch& scratch,
            const Tensor& out) const;

 private:
  void project(const Pass& pass, const Tensor& h, Saved& saved) const;
  AttentionCall call(const Pass& pass, const Saved& saved) const;
  void attend(const Pass& pass, const AttentionCall& call, const Tensor& h, Scratch& scratch, const Tensor& out) const;

  int layer_;
  Index heads_;
  Index width_;  ///< A
  RmsNorm norm_;
  Linear qkv_;
  Linear output_;
};

}  // namespace millrace
