#include "model/pass/routing_plan.h"

#include <algorithm>

namespace millrace {

void plan_routing(const ModelConfig& config, const BatchLayout& layout, Mode mode, RoutingPlan& plan) {
  plan.capacity = capacity_of(config, layout.size(), mode);
  plan.groups = layout.size() == 0 ? 0 : layout.size() / plan.capacity.group;
  plan.choices = std::min(config.router_topk, config.num_experts);
  plan.routed.assign(layout.real.size(), 1);
  if (!config.pads_routed) std::copy(layout.real.begin(), layout.real.end(), plan.routed.begin());
  plan.group_tokens.assign(static_cast<std::size_t>(plan.groups), 0);
  plan.tokens = 0;
  plan.groups_with_tokens = 0;
  auto first = plan.routed.begin();
  for (Index& tokens : plan.group_tokens) {
    tokens = std::count(first, first + plan.capacity.group, 1);
    first += plan.capacity.group;
    plan.tokens += tokens;
    plan.groups_with_tokens += tokens > 0 ? 1 : 0;
  }
  plan.group_weight.clear();
  for (const Index tokens : plan.group_tokens) {
    const auto count = static_cast<double>(tokens);
    plan.group_weight.push_back(
        tokens == 0 ? 0 : config.num_experts / (static_cast<double>(plan.groups_with_tokens) * count * count));
  }
}

}  // namespace millrace
