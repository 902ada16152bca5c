#include "model/layers/router.h"

#include <algorithm>
#include <span>

#include "model/kernels/routing.h"
#include "model/parallel.h"

namespace millrace {
namespace {

template <class Value>
Value* array_in(Buffer& buffer, Index rows, Index columns) {
  constexpr Type kType = sizeof(Value) == 4 ? Type::i32 : Type::f64;
  return static_cast<Value*>(buffer.shaped(rows, columns, kType).data);
}
template <class Value>
Value* array_in(const Buffer& buffer) {
  return static_cast<Value*>(buffer.tensor().data);
}

}  // namespace

Index most_expert_slots(const RoutingPlan& plan, Index tokens, Index experts) {
  const Index places = plan.groups * plan.capacity.places() * experts;
  if (plan.slot_multiple == 0) return places;
  return std::min(tokens * plan.choices, places) + experts * (plan.slot_multiple - 1);
}

void Router::forward(const Pass& pass, const Tensor& x, Routing& routing) const {
  Device& device = pass.device;
  const RoutingPlan& plan = pass.routing;
  const Index tokens = x.rows;
  const Index experts = config_.num_experts;
  const auto choices = static_cast<int>(plan.choices);
  const Tensor logits = routing.logits.shaped(tokens, experts, device.real());
  const Tensor probabilities = routing.probabilities.shaped(tokens, experts, device.real());
  const Tensor log_sum = routing.log_sum.shaped(1, tokens, device.real());
  auto* expert = array_in<std::int32_t>(routing.expert, tokens, choices);
  auto* place = array_in<std::int32_t>(routing.place, tokens, choices);
  auto* asked = array_in<std::int32_t>(routing.asked, plan.groups, experts);
  auto* sums = array_in<double>(routing.sums, plan.groups, SumRouting::columns(experts));
  auto* base = array_in<std::int32_t>(routing.base, plan.groups, experts);
  auto* first = array_in<std::int32_t>(routing.first, 1, experts + 1);
  auto* slot = array_in<std::int32_t>(routing.slot, tokens, choices);
  routing.most_slots = most_expert_slots(plan, tokens, experts);
  auto* pair = array_in<std::int32_t>(routing.pair, 1, routing.most_slots);

  device.multiply({.a = x, .b = weight_->value, .c = logits, .b_side = Product::Side::transposed});
  device.run(RouteTokens{logits, probabilities, log_sum.data, expert, choices},
             range_count(tokens, RouteTokens::kTokens));
  device.run(QueuePairs{expert, pass.routed, place, asked, plan.capacity.group, plan.capacity.pairs, experts, choices},
             plan.groups * experts);
  if (pass.has_router_sums)
    device.run(
        SumRouting{logits, probabilities, log_sum.data, expert, place, pass.routed, sums, plan.capacity.group, choices},
        plan.groups);
  device.run(PlaceSlots{asked, base, first, plan.groups, experts, plan.capacity.places(), plan.slot_multiple}, 1);
  device.run(EmptySlots{pair, routing.most_slots}, range_count(routing.most_slots, EmptySlots::kSlots));
  device.run(FillSlots{expert, place, base, slot, pair, tokens, plan.capacity.group, experts, choices},
             range_count(tokens, FillSlots::kTokens));
}

void Router::backward(const Pass& pass, const Tensor& d_gates, const Tensor& x, const Routing& routing, Buffer& scratch,
                      const Tensor& dx) const {
  Device& device = pass.device;
  const RoutingPlan& plan = pass.routing;
  const Tensor d_logits = scratch.shaped(x.rows, config_.num_experts, device.real());
  const double z = plan.tokens == 0 ? 0 : 2 * pass.scales.z / static_cast<double>(plan.tokens);
  device.run(RouteBackward{.probabilities = routing.probabilities.tensor(),
                           .log_sum = routing.log_sum.tensor().data,
                           .expert = array_in<std::int32_t>(routing.expert),
                           .slot = array_in<std::int32_t>(routing.slot),
                           .routed = pass.routed,
                           .d_gates = d_gates,
                           .asked = array_in<std::int32_t>(routing.asked),
                           .group_weight = pass.group_weight,
                           .aux = pass.scales.aux,
                           .z = z,
                           .d_logits = d_logits,
                           .group = plan.capacity.group,
                           .choices = static_cast<int>(plan.choices)},
             range_count(x.rows, RouteBackward::kTokens));
  const Tensor gradient = pass.gradients.of(weight_->gradient, false);
  device.multiply({.a = d_logits, .b = x, .c = gradient, .a_side = Product::Side::transposed, .add = true});
  device.multiply({.a = d_logits, .b = weight_->value, .c = dx, .add = true});
}

void Router::begin_reading(const Pass& pass, const Routing& routing, RoutingCounts& counts) const {
  const auto read = [&](const Buffer& buffer, auto& to) {
    const Tensor tensor = buffer.tensor();
    to.resize(static_cast<std::size_t>(tensor.size()));
    pass.device.to_host_later(to.data(), tensor.data, to.size() * sizeof(to[0]));
  };
  read(routing.place, counts.place);
  read(routing.asked, counts.asked);
  read(routing.sums, counts.sums);
}

void measure_routing(const ModelConfig& config, const BatchLayout& layout, const RoutingPlan& plan,
                     const RoutingCounts& counts, RouterStatistics& statistics) {
  const auto experts = static_cast<std::size_t>(config.num_experts);
  const auto columns = static_cast<std::size_t>(SumRouting::columns(config.num_experts));
  statistics.aux_loss = statistics.z_loss = statistics.entropy = statistics.dropped = statistics.gates = 0;
  statistics.kept = statistics.places = statistics.left_behind = 0;
  statistics.load.assign(experts, 0.0);
  for (std::size_t group = 0; group < plan.group_tokens.size(); ++group) {
    if (plan.group_tokens[group] == 0) continue;
    const auto tokens = static_cast<double>(plan.group_tokens[group]);
    const double* sums = counts.sums.data() + group * columns;
    const std::int32_t* asked = counts.asked.data() + group * experts;
    double along = 0;
    for (std::size_t e = 0; e < experts; ++e) {
      along += asked[e] / tokens * sums[e];
      statistics.load[e] += asked[e] / static_cast<double>(plan.choices * plan.tokens);
    }
    statistics.aux_loss += static_cast<double>(experts) * along / tokens / static_cast<double>(plan.groups_with_tokens);
    statistics.z_loss += sums[experts];
    statistics.entropy += sums[experts + 1];
    statistics.gates += sums[experts + 2];
  }
  const auto choices = static_cast<std::size_t>(plan.choices);
  if (plan.tokens > 0) {
    statistics.z_loss /= static_cast<double>(plan.tokens);
    statistics.entropy /= static_cast<double>(plan.tokens);
    const auto pairs = static_cast<double>(plan.tokens * plan.choices);
    statistics.kept = std::ranges::count_if(counts.place, [](std::int32_t place) { return place >= 0; });
    statistics.dropped = (pairs - static_cast<double>(statistics.kept)) / pairs;
  }
  if (config.capacity_rule != CapacityRule::dropless)
    statistics.places = plan.groups * plan.capacity.pairs * config.num_experts;
  statistics.routed = plan.tokens;
  for (std::size_t t = 0; t < plan.routed.size(); ++t) {
    const auto places = std::span(counts.place).subspan(t * choices, choices);
    const bool has_none = std::ranges::all_of(places, [](std::int32_t place) { return place < 0; });
    statistics.left_behind += plan.routed[t] != 0 && has_none ? 1 : 0;
  }
  const auto length = static_cast<std::size_t>(layout.length);
  statistics.pairs_at.assign(length, 0);
  statistics.dropped_at.assign(length, 0);
  for (std::size_t t = 0; t < layout.real.size(); ++t) {
    if (layout.real[t] == 0) continue;
    statistics.pairs_at[t % length] += plan.choices;
    for (std::size_t c = 0; c < choices; ++c) statistics.dropped_at[t % length] += counts.place[t * choices + c] < 0;
  }
}

}  // namespace millrace
