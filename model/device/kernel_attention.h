#pragma once

#include "model/device/buffer.h"
#include "model/device/device.h"

namespace millrace {

/// Attention by kernels alone, for any sizes on any device: what a device takes for sizes that it has no faster way
/// for. As many rows at a time as the weights of fit into `most_bytes`, at least one.
class KernelAttention {
 public:
  explicit KernelAttention(Device& device, std::size_t most_bytes = std::size_t{1} << 28U)
      : device_(device), most_bytes_(most_bytes), weights_(device), d_scores_(device) {}

  void attend(const AttentionCall& call);
  void attend_backward(const AttentionGradient& call);

 private:
  Index rows_at_once(const AttentionCall& call) const;

  Device& device_;
  std::size_t most_bytes_;
  Buffer weights_, d_scores_;  ///< (rows * heads * queries, keys) real
};

}  // namespace millrace
