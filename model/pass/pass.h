#pragma once

#include <cstddef>
#include <cstdint>

#include "model/device/device.h"
#include "model/kernels/dropout.h"
#include "model/pass/batch_layout.h"
#include "model/pass/expert_exchange.h"
#include "model/pass/routing_plan.h"
#include "model/profile.h"

namespace millrace {

/// What the total loss's gradient adds at the routers of one layer: d total / d aux_loss and d total / d z_loss.
struct RouterLossScales {
  double aux = 0;
  double z = 0;
};

/// Where numbers are dropped: once in the model, or once in a layer.
enum class DropoutPlace : std::uint8_t {
  input,           ///< The embedding.
  keys,            ///< Attention's probabilities.
  attention,       ///< What attention adds to the stream.
  hidden,          ///< Inside the dense or shared network.
  dense,           ///< What it adds.
  experts_hidden,  ///< Inside the experts.
  experts,         ///< What they add.
  output,          ///< The last norm.
};

/// Dropout of one pass; none unless it trains.
struct Dropout {
  double rate = 0;
  std::uint64_t seed = 0, step = 0, first_row = 0;  ///< TokenBatch's.

  /// Throws std::logic_error if the rate is not in [0, 1).
  DropoutMask mask(int layer, DropoutPlace place, Index length) const;
};

/// Where gradients are added: so many bytes behind the parameters' own (ParameterMemory::place).
struct GradientPlace {
  std::ptrdiff_t shared = 0;   ///< Of tensors that are not the experts'.
  std::ptrdiff_t experts = 0;  ///< Of the experts'.

  Tensor of(Tensor gradient, bool per_expert) const {
    gradient.data = static_cast<std::byte*>(gradient.data) + (per_expert ? experts : shared);
    return gradient;
  }
};

/// The same for all layers of one pass. Arrays lie in the device's memory, an entry a position.
struct Pass {
  Device& device;
  const BatchLayout& layout;
  const RoutingPlan& routing;
  const std::int32_t* position = nullptr;
  Tensor first_key;                      ///< (1, N) i32
  bool is_causal = false;                ///< All of it is 0.
  const std::uint8_t* real = nullptr;    ///< Null: nothing is padding.
  const std::uint8_t* routed = nullptr;  ///< RoutingPlan's.
  const double* group_weight = nullptr;  ///< Likewise.
  bool has_router_sums = true;           ///< Routers add up what losses and statistics are made of.
  Tensor cosine, sine;                   ///< Of RoPE: (positions, D / 2) real.
  Dropout dropout;
  GradientPlace gradients;             ///< For backward.
  RouterLossScales scales;             ///< For backward.
  Profile* profile = nullptr;          ///< Null: no timing.
  ExpertExchange* exchange = nullptr;  ///< Null: all experts are here.

  Index positions() const { return layout.size(); }
  DropoutMask dropout_mask(int layer, DropoutPlace place) const { return dropout.mask(layer, place, layout.length); }
};

}  // namespace millrace
