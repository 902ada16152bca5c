#pragma once

#include <cstdint>

#include "model/device/buffer.h"

namespace millrace {

/// Cosines and sines of RoPE's angles:  position * theta^(-2 j / D)  for j in [0, D / 2), computed in double.
class RopeTable {
 public:
  RopeTable(Device& device, int head_dim, double theta)
      : device_(device), head_dim_(head_dim), theta_(theta), cosine_(device), sine_(device) {}

  /// Makes the table longer if it has fewer positions.
  void reserve(std::int32_t positions);
  Tensor cosine() const { return cosine_.tensor(); }  ///< (positions, D / 2)
  Tensor sine() const { return sine_.tensor(); }

 private:
  Device& device_;
  int head_dim_;
  double theta_;
  Buffer cosine_, sine_;
};

}  // namespace millrace
