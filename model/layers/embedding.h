#pragma once

#include <cstdint>
#include <vector>

#include "model/device/buffer.h"
#include "model/parameters/parameter.h"
#include "model/pass/pass.h"

namespace millrace {

/// The rows of a batch's tokens:  h[t] = Embed[token[t]], not scaled.   h: (N, H)   Embed: [V, H]
class Embedding {
 public:
  /// What backward needs.
  struct Saved {
    explicit Saved(Device& device) : tokens(device) {}
    Buffer tokens;
    std::vector<std::int32_t> on_host;  ///< The same.
  };

  Embedding(Device& device, const Parameter& weight) : weight_(&weight), order_(device) {}

  /// Brings tokens to the device. Throws std::out_of_range for one without a row.
  void load(Device& device, const std::int32_t* tokens, Index count, Saved& saved) const;
  /// Of the tokens that were loaded.
  void forward(Device& device, const Saved& saved, const Tensor& h) const;
  /// Adds the tokens' gradient; padding, whose gradient is zero, is left out.
  void backward(const Pass& pass, const Saved& saved, const Tensor& dh);

 private:
  const Parameter* weight_;
  Buffer order_;                         ///< For EmbeddingGradient: token, first, position.
  std::vector<std::int32_t> positions_;  ///< Sorted by token.
  std::vector<std::int32_t> distinct_, first_;
};

}  // namespace millrace
