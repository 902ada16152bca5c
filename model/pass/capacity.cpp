#include "model/pass/capacity.h"

#include <algorithm>
#include <cmath>

namespace millrace {

namespace {

Index largest_divisor(Index number, Index limit) {
  Index largest = 1;
  for (Index divisor = 1; divisor * divisor <= number; ++divisor) {
    if (number % divisor != 0) continue;
    for (const Index one : {divisor, number / divisor})
      if (one <= limit) largest = std::max(largest, one);
  }
  return largest;
}

}  // namespace

Capacity capacity_of(const ModelConfig& config, Index tokens, Mode mode) {
  const double factor = mode == Mode::train ? config.router_capacity_factor_train : config.router_capacity_factor_eval;
  const int choices = std::min(config.router_topk, config.num_experts);
  // A token chooses an expert at most once, so a capacity above the number of tokens changes nothing.
  const auto places = [&](double wanted, Index group) {
    return static_cast<Index>(std::min(wanted, static_cast<double>(group)));
  };
  switch (config.capacity_rule) {
    case CapacityRule::colossalai: {
      Index pairs = places(std::floor(choices * factor * static_cast<double>(tokens) / config.num_experts), tokens);
      pairs += pairs % 2;
      return {tokens, std::max<Index>(pairs, config.router_min_capacity)};
    }
    case CapacityRule::flaxformer: {
      const Index group = largest_divisor(tokens, config.router_group_size);
      // Rounds half to even, as in the training code.
      const Index pairs = places(std::nearbyint(factor * static_cast<double>(group) / config.num_experts), group);
      return {group, std::max<Index>(pairs, config.router_min_capacity)};
    }
    case CapacityRule::dropless:
      break;
  }
  return {tokens, tokens};
}

}  // namespace millrace
