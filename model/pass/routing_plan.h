#pragma once

#include <cstdint>
#include <vector>

#include "model/config/model_config.h"
#include "model/pass/batch_layout.h"
#include "model/pass/capacity.h"

namespace millrace {

/// What all routers of a pass have in common: a function of the micro-batch's layout.
struct RoutingPlan {
  Capacity capacity;
  Index groups = 0;
  Index choices = 0;  ///< k
  /// Experts' slots lie close together, each expert's rounded up to a multiple of this; 0: each expert has the places
  /// of its capacity. A function of the device, too.
  int slot_multiple = 0;
  std::vector<std::uint8_t> routed;  ///< (N): 0 for padding that is not routed.
  std::vector<Index> group_tokens;   ///< (groups): routed tokens of each.
  Index tokens = 0;                  ///< Routed tokens of all groups.
  Index groups_with_tokens = 0;      ///< The balance loss is their mean.
  /// (groups): times the pairs that asked for expert e, the gradient of the balance loss by P_e of a routed token:
  /// it is E m_e / (groups with tokens * tokens), with m_e = asked / tokens.
  std::vector<double> group_weight;
};
void plan_routing(const ModelConfig& config, const BatchLayout& layout, Mode mode, RoutingPlan& plan);

}  // namespace millrace
