#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"
#include "model/device/buffer.h"
#include "model/layers/router_statistics.h"
#include "model/parameters/parameter.h"
#include "model/pass/pass.h"

namespace millrace {

/// What a router decided for a micro-batch, in the device's memory. Pair (token t, choice c) has index t * k + c.
struct Routing {
  explicit Routing(Device& device)
      : logits(device),
        probabilities(device),
        log_sum(device),
        expert(device),
        place(device),
        asked(device),
        sums(device),
        base(device),
        first(device),
        slot(device),
        pair(device) {}

  Buffer logits, probabilities, log_sum;  ///< (N, E), (N, E), (1, N): real
  Buffer expert;                          ///< (N, k)
  Buffer place;                           ///< (N, k): in the queue of its group and expert; -1: dropped
  Buffer asked;                           ///< (groups, E): pairs that asked, within capacity or not
  Buffer sums;                            ///< (groups, columns): SumRouting's
  Buffer base;                            ///< (groups, E): PlaceSlots'
  Buffer first;                           ///< (1, E + 1): where each expert's slots begin
  Buffer slot;                            ///< (N, k): slot of each pair, -1 if dropped
  Buffer pair;                            ///< (1, most slots): pair of each slot, -1: empty
  Index most_slots = 0;                   ///< No routing of so many tokens fills more, of all experts together.
};

/// What is told of a routing, on the host.
struct RoutingCounts {
  std::vector<std::int32_t> place;  ///< (N, k)
  std::vector<std::int32_t> asked;  ///< (groups, E)
  std::vector<double> sums;         ///< (groups, columns)
};

/// Largest number of slots that any routing of so many tokens can fill.
Index most_expert_slots(const RoutingPlan& plan, Index tokens, Index experts);

/// Sends each token to its k most likely experts.
///   logits = x W^T;  P = softmax(logits);  the k largest of a row, ties to the lowest expert
/// Padding is routed like any token (its x is zero: experts 0 and 1), unless pads_routed is off: then it is in no
/// queue, no statistic and no loss. Either way it counts in the number of tokens that sets the capacity. An expert's
/// queue takes all first choices in token order, then all second choices, and so on; pairs beyond the capacity are
/// dropped, but count in the statistics. Gates are P itself, not renormalised.   x: (N, H) real   W: [E, H]
class Router {
 public:
  Router(const ModelConfig& config, const Parameter& weight) : config_(config), weight_(&weight) {}

  void forward(const Pass& pass, const Tensor& x, Routing& routing) const;
  /// d_gates: (N, k) real, read for kept pairs only. Adds to the weight's gradient and to dx. `scratch` is overwritten.
  void backward(const Pass& pass, const Tensor& d_gates, const Tensor& x, const Routing& routing, Buffer& scratch,
                const Tensor& dx) const;
  /// Begins to read what is told: it is there once a later moment of the device was waited for.
  void begin_reading(const Pass& pass, const Routing& routing, RoutingCounts& counts) const;

 private:
  ModelConfig config_;
  const Parameter* weight_;
};

/// Losses, shares and counts of what a router did.
void measure_routing(const ModelConfig& config, const BatchLayout& layout, const RoutingPlan& plan,
                     const RoutingCounts& counts, RouterStatistics& statistics);

}  // namespace millrace
