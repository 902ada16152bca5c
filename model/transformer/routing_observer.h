#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/tensor.h"

namespace millrace {

/// What the router of one MoE layer did with a micro-batch of N positions. Pair (token t, choice c) has index t * k +
/// c. Valid until the observer returns.
struct LayerRouting {
  int layer = 0;
  Index choices = 0;                     ///< k
  std::span<const std::int32_t> expert;  ///< (N, k), on the host.
  std::span<const std::int32_t> place;   ///< (N, k), on the host: in the queue of its pool and expert; -1: dropped.
  Tensor logits, probabilities;          ///< (N, E) real, in the device's memory.
};

/// Sees the routing of a forward pass, layer by layer.
using RoutingObserver = std::function<void(const LayerRouting&)>;

}  // namespace millrace
