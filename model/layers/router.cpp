#include "model/layers/router.h"

#include <algorithm>
#include <cmath>

#include "model/array.h"
#include "model/ops/gemm.h"
#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kRouterRows = 128;

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

template <class Scalar>
void Router<Scalar>::forward(View<const Scalar> x, const BatchLayout& layout, Mode mode, Routing& routing) const {
  const Index experts = config_.num_experts;
  routing.choices = std::min(config_.router_topk, config_.num_experts);
  routing.capacity = capacity_of(config_, x.rows, mode);
  routing.logits.reshape(x.rows, experts);
  routing.probabilities.reshape(x.rows, experts);
  routing.log_sum.reshape(1, x.rows);
  matmul_nt(x, weight(weight_->value), routing.logits.view());
  choose(routing);
  admit(layout, routing);
  queue(routing);
  measure(routing);
  count_by_position(layout, routing);
}

/// Probabilities and the k best experts of every token.
template <class Scalar>
void Router<Scalar>::choose(Routing& routing) const {
  const Index experts = config_.num_experts;
  const Index choices = routing.choices;
  routing.expert.resize(static_cast<std::size_t>(routing.logits.rows() * choices));
  for_ranges(routing.logits.rows(), kRouterRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      const auto logits = array_of(static_cast<const Scalar*>(routing.logits.row(t)), experts);
      auto probability = array_of(routing.probabilities.row(t), experts);
      const Scalar largest = logits.maxCoeff();
      probability = (logits - largest).exp();
      const Scalar sum = probability.sum();
      probability *= Scalar{1} / sum;
      routing.log_sum.data()[t] = largest + std::log(sum);
      std::int32_t* chosen = routing.expert.data() + t * choices;
      for (Index c = 0; c < choices; ++c) {
        std::int32_t best = -1;
        for (std::int32_t e = 0; e < experts; ++e) {
          if (std::find(chosen, chosen + c, e) != chosen + c) continue;
          if (best < 0 || probability[e] > probability[best]) best = e;
        }
        chosen[c] = best;
      }
    }
  });
}

/// Which tokens are routed.
template <class Scalar>
void Router<Scalar>::admit(const BatchLayout& layout, Routing& routing) const {
  const Index groups = layout.size() == 0 ? 0 : layout.size() / routing.capacity.group;
  routing.routed.assign(layout.real.size(), 1);
  if (!config_.pads_routed) std::copy(layout.real.begin(), layout.real.end(), routing.routed.begin());
  routing.group_tokens.assign(static_cast<std::size_t>(groups), 0);
  routing.tokens = 0;
  routing.groups = 0;
  auto first = routing.routed.begin();
  for (Index& tokens : routing.group_tokens) {
    tokens = std::count(first, first + routing.capacity.group, 1);
    first += routing.capacity.group;
    routing.tokens += tokens;
    routing.groups += tokens > 0 ? 1 : 0;
  }
}

/// Which pairs are within capacity.
template <class Scalar>
void Router<Scalar>::queue(Routing& routing) const {
  const Index choices = routing.choices;
  const auto experts = static_cast<std::size_t>(config_.num_experts);
  const auto groups = static_cast<Index>(routing.group_tokens.size());
  routing.kept.assign(routing.expert.size(), 0);
  routing.fraction.reshape(groups, config_.num_experts);
  std::vector<Index>& waiting = routing.waiting;
  for (Index group = 0; group < groups; ++group) {
    waiting.assign(experts, 0);
    const Index first = group * routing.capacity.group;
    for (Index c = 0; c < choices; ++c) {
      for (Index t = first; t < first + routing.capacity.group; ++t) {
        if (routing.routed[static_cast<std::size_t>(t)] == 0) continue;
        const auto pair = static_cast<std::size_t>(t * choices + c);
        Index& place = waiting[static_cast<std::size_t>(routing.expert[pair])];
        routing.kept[pair] = place < routing.capacity.pairs;
        ++place;
      }
    }
    const auto tokens = static_cast<double>(std::max<Index>(routing.group_tokens[static_cast<std::size_t>(group)], 1));
    for (std::size_t e = 0; e < experts; ++e) {
      routing.fraction.row(group)[e] = static_cast<double>(waiting[e]) / tokens;
    }
  }
}

/// Losses and shares; sums run over tokens in order.
template <class Scalar>
void Router<Scalar>::measure(Routing& routing) const {
  const Index experts = config_.num_experts;
  RouterStatistics& statistics = routing.statistics;
  statistics.aux_loss = statistics.z_loss = statistics.entropy = statistics.dropped = 0;
  statistics.kept = 0;
  statistics.load.assign(static_cast<std::size_t>(experts), 0.0);
  if (routing.tokens == 0) return;
  routing.probability.reshape(1, experts);
  auto probability = array_of(routing.probability.data(), experts);
  for (Index group = 0; group < routing.fraction.rows(); ++group) {
    const auto tokens = static_cast<double>(routing.group_tokens[static_cast<std::size_t>(group)]);
    if (tokens == 0) continue;
    probability.setZero();
    for (Index t = group * routing.capacity.group; t < (group + 1) * routing.capacity.group; ++t) {
      if (routing.routed[static_cast<std::size_t>(t)] == 0) continue;
      const auto p = array_of(static_cast<const Scalar*>(routing.probabilities.row(t)), experts);
      const auto logits = array_of(static_cast<const Scalar*>(routing.logits.row(t)), experts);
      const auto log_sum = static_cast<double>(routing.log_sum.data()[t]);
      probability += p.template cast<double>();
      statistics.z_loss += log_sum * log_sum;
      statistics.entropy += log_sum - static_cast<double>((p * logits).sum());
    }
    const auto fraction = array_of(static_cast<const double*>(routing.fraction.row(group)), experts);
    const double mean = (fraction * probability).sum() / tokens;
    statistics.aux_loss += static_cast<double>(experts) * mean / static_cast<double>(routing.groups);
    const double share = tokens / static_cast<double>(routing.choices * routing.tokens);
    for (Index e = 0; e < experts; ++e) statistics.load[static_cast<std::size_t>(e)] += fraction[e] * share;
  }
  const auto tokens = static_cast<double>(routing.tokens);
  statistics.z_loss /= tokens;
  statistics.entropy /= tokens;
  const auto pairs = static_cast<double>(routing.tokens * routing.choices);
  statistics.kept = std::count(routing.kept.begin(), routing.kept.end(), 1);
  statistics.dropped = (pairs - static_cast<double>(statistics.kept)) / pairs;
}

template <class Scalar>
void Router<Scalar>::count_by_position(const BatchLayout& layout, Routing& routing) const {
  const auto length = static_cast<std::size_t>(layout.length);
  routing.statistics.pairs_at.assign(length, 0);
  routing.statistics.dropped_at.assign(length, 0);
  for (std::size_t t = 0; t < layout.real.size(); ++t) {
    if (layout.real[t] == 0) continue;
    const auto kept = routing.kept.begin() + static_cast<std::ptrdiff_t>(t) * routing.choices;
    routing.statistics.pairs_at[t % length] += routing.choices;
    routing.statistics.dropped_at[t % length] += std::count(kept, kept + routing.choices, 0);
  }
}

template <class Scalar>
void Router<Scalar>::backward(View<const Scalar> d_gates, View<const Scalar> x, const Routing& routing,
                              const LossScales& scales, Matrix<Scalar>& scratch, View<Scalar> dx) const {
  const Index experts = config_.num_experts;
  const Index choices = routing.choices;
  scratch.reshape(x.rows, experts);
  for_ranges(x.rows, kRouterRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      auto d = array_of(scratch.row(t), experts);
      if (routing.routed[static_cast<std::size_t>(t)] == 0) {
        d.setZero();
        continue;
      }
      const auto p = array_of(routing.probabilities.row(t), experts);
      const Index group = t / routing.capacity.group;
      const auto fraction = array_of(routing.fraction.row(group), experts);
      // d aux / d P = E m / N: the mean over groups of a mean over a group's tokens.
      const auto tokens = static_cast<double>(routing.groups * routing.group_tokens[static_cast<std::size_t>(group)]);
      d = (fraction * (scales.aux * static_cast<double>(experts) / tokens)).template cast<Scalar>();
      for (Index c = 0; c < choices; ++c) {
        const auto pair = static_cast<std::size_t>(t * choices + c);
        if (routing.kept[pair] != 0) d[routing.expert[pair]] += d_gates.row(t)[c];
      }
      const Scalar along = (d * p).sum();
      const auto z =
          static_cast<Scalar>(2 * scales.z / static_cast<double>(routing.tokens)) * routing.log_sum.data()[t];
      d = p * (d - along + z);
    }
  });
  matmul_tn(scratch.view(), x, weight(weight_->grad), Into::add);
  matmul_nn(scratch.view(), weight(weight_->value), dx, Into::add);
}

template class Router<float>;
template class Router<double>;

}  // namespace millrace
