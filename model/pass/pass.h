#pragma once

#include <cstdint>

#include "model/device/device.h"
#include "model/pass/batch_layout.h"
#include "model/pass/routing_plan.h"
#include "model/profile.h"

namespace millrace {

/// What the total loss's gradient adds at the routers of one layer: d total / d aux_loss and d total / d z_loss.
struct RouterLossScales {
  double aux = 0;
  double z = 0;
};

/// The same for all layers of one pass. Arrays lie in the device's memory, an entry a position.
struct Pass {
  Device& device;
  const BatchLayout& layout;
  const RoutingPlan& routing;
  const std::int32_t* position = nullptr;
  Tensor first_key;                      ///< (1, N) i32
  const std::uint8_t* real = nullptr;    ///< Null: nothing is padding.
  const std::uint8_t* routed = nullptr;  ///< RoutingPlan's.
  const double* group_weight = nullptr;  ///< Likewise.
  Tensor cosine, sine;                   ///< Of RoPE: (positions, D / 2) real.
  RouterLossScales scales;               ///< For backward.
  Profile* profile = nullptr;            ///< Null: no timing.

  Index positions() const { return layout.size(); }
};

}  // namespace millrace
