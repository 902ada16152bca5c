#include "model/layers/router.h"

#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

/// What a router decided, on the host.
struct Decided {
  std::vector<std::int32_t> expert, slot;
  std::vector<std::uint8_t> kept;
  std::vector<double> probabilities;  ///< (N, E)
  RoutingCounts counts;
  RoutingPlan plan;
  RouterStatistics statistics;
  Index experts = 0;

  double probability(Index token, Index expert_of_token) const {
    return probabilities[static_cast<std::size_t>(token * experts + expert_of_token)];
  }
};

Decided decided(const ModelConfig& config, const Router& router, const Pass& pass, const Routing& routing) {
  Decided all;
  const auto ints = [](const Buffer& buffer) {
    const std::span<std::int32_t> numbers = numbers_of<std::int32_t>(buffer.tensor());
    return std::vector<std::int32_t>(numbers.begin(), numbers.end());
  };
  all.expert = ints(routing.expert);
  all.slot = ints(routing.slot);
  for (const std::int32_t slot : all.slot) all.kept.push_back(slot >= 0 ? 1 : 0);
  const std::span<double> probabilities = numbers_of<double>(routing.probabilities.tensor());
  all.probabilities.assign(probabilities.begin(), probabilities.end());
  router.begin_reading(pass, routing, all.counts);
  all.plan = pass.routing;
  all.experts = config.num_experts;
  measure_routing(config, pass.layout, pass.routing, all.counts, all.statistics);
  return all;
}

/// A router whose logits are its input: the weight is the identity.
struct Identity {
  ModelConfig config;
  CpuDevice device{Precision::f64};
  OwnedParameter<double> weight;
  Decided routing;

  explicit Identity(int experts, ModelConfig base = model_preset("openmoe-micro"))
      : config(base), weight({experts, experts}, 1) {
    config.hidden_size = config.num_experts = experts;
    std::fill_n(weight.value.data(), experts * experts, 0.0);
    for (int e = 0; e < experts; ++e) weight.value.data()[e * experts + e] = 1;
  }
  void route(Matrix<double> logits, const BatchLayout& layout) {
    const TestPass test(device, config, layout);
    const Router router(config, weight.view);
    Routing there(device);
    router.forward(test.pass, tensor_over(logits), there);
    routing = decided(config, router, test.pass, there);
  }
  void route(Matrix<double> logits) {
    const auto rows = static_cast<int>(logits.rows());
    route(std::move(logits), full_rows(1, rows));
  }
};

Matrix<double> logits_of(const std::vector<std::vector<double>>& rows) {
  Matrix<double> logits(static_cast<Index>(rows.size()), static_cast<Index>(rows[0].size()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), logits.row(static_cast<Index>(i)));
  return logits;
}

Matrix<double> copy_of(const Matrix<double>& from) {
  Matrix<double> copy(from.rows(), from.columns());
  std::copy_n(from.data(), from.rows() * from.columns(), copy.data());
  return copy;
}

TEST(Router, DropsPairsBeyondCapacityFirstChoicesFirst) {
  Identity router(4);
  router.config.capacity_rule = CapacityRule::flaxformer;
  router.config.router_min_capacity = 2;  // round(1.25 * 6 / 4) = 2
  router.route(logits_of({{2, 1, 0, 0}, {2, 0, 1, 0}, {2, 1, 0, 0}, {0, 2, 1, 0}, {0, 0, 0, 0}, {1, 0, 0, 2}}));
  const auto& routing = router.routing;
  EXPECT_EQ(routing.plan.capacity.pairs, 2);
  EXPECT_EQ(routing.expert, (std::vector<std::int32_t>{0, 1, 0, 2, 0, 1, 1, 2, 0, 1, 3, 0}));
  EXPECT_EQ(routing.kept, (std::vector<std::uint8_t>{1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0}));
  EXPECT_NEAR(routing.probability(0, 0), 0.610296, 1e-6);
  EXPECT_NEAR(routing.probability(0, 1), 0.224515, 1e-6);
  EXPECT_NEAR(routing.probability(4, 1), 0.25, 1e-12);
  EXPECT_NEAR(routing.statistics.aux_loss, 2.324705, 1e-6);
  EXPECT_NEAR(routing.statistics.z_loss, 5.502883, 1e-6);
  EXPECT_NEAR(routing.statistics.dropped, 5.0 / 12, 1e-12);
}

/// The routing of the test above: tokens 2 and 4 are kept by no expert; 7 pairs are kept of the 4 x 2 that fit.
TEST(Router, TellsWhoIsLeftBehindHowFullTheExpertsAreAndTheMeanGate) {
  Identity router(4);
  router.config.capacity_rule = CapacityRule::flaxformer;
  router.config.router_min_capacity = 2;
  router.route(logits_of({{2, 1, 0, 0}, {2, 0, 1, 0}, {2, 1, 0, 0}, {0, 2, 1, 0}, {0, 0, 0, 0}, {1, 0, 0, 2}}));
  const RouterStatistics& statistics = router.routing.statistics;
  EXPECT_EQ(statistics.share_left_behind(), 2.0 / 6);
  EXPECT_EQ(statistics.expert_usage(), 7.0 / 8);
  EXPECT_NEAR(statistics.confidence().value(), (4 * 0.610296 + 3 * 0.224515) / 7, 1e-6);
}

TEST(Router, LeavesNobodyBehindAndHasNoUsageWhereNothingIsDropped) {
  Identity router(4);
  router.config.capacity_rule = CapacityRule::dropless;
  router.route(logits_of({{2, 1, 0, 0}, {2, 1, 0, 0}, {2, 1, 0, 0}}));
  const RouterStatistics& statistics = router.routing.statistics;
  EXPECT_EQ(statistics.share_left_behind(), 0.0);
  EXPECT_EQ(statistics.expert_usage(), std::nullopt);
  EXPECT_NEAR(statistics.confidence().value(), (0.610296 + 0.224515) / 2, 1e-6);
}

TEST(Router, GivesTiesToTheLowestExpert) {
  Identity router(5);
  router.route(logits_of({{0, 0, 0, 0, 0}, {1, 3, 3, 3, 0}}));
  EXPECT_EQ(router.routing.expert, (std::vector<std::int32_t>{0, 1, 1, 2}));
  EXPECT_NEAR(router.routing.statistics.entropy,
              (std::log(5.0) + std::log(std::exp(1) + 3 * std::exp(3) + 1) -
               (std::exp(1) + 9 * std::exp(3)) / (std::exp(1) + 3 * std::exp(3) + 1)) /
                  2,
              1e-12);
}

TEST(Router, BalancedLossIsTheNumberOfChoices) {
  Identity router(4);
  router.route(logits_of({{9, 9, 0, 0}, {0, 0, 9, 9}}));
  EXPECT_NEAR(router.routing.statistics.aux_loss, 2.0, 1e-12);
}

TEST(Capacity, FollowsEachRule) {
  ModelConfig config = model_preset("openmoe-8b");
  EXPECT_EQ(capacity_of(config, 8192, Mode::train).pairs, 160);
  EXPECT_EQ(capacity_of(config, 8192, Mode::eval).pairs, 256);
  EXPECT_EQ(capacity_of(config, 8192, Mode::eval).group, 4096);
  EXPECT_EQ(capacity_of(config, 6000, Mode::eval).group, 3000);
  EXPECT_EQ(capacity_of(config, 4099, Mode::eval).group, 1);  // A prime: groups of one token, minimum capacity.
  EXPECT_EQ(capacity_of(config, 4099, Mode::eval).pairs, 4);
  config.capacity_rule = CapacityRule::colossalai;
  EXPECT_EQ(capacity_of(config, 4096, Mode::train).pairs, 320);
  EXPECT_EQ(capacity_of(config, 2048, Mode::eval).pairs, 256);
  EXPECT_EQ(capacity_of(config, 1, Mode::eval).pairs, 4);
  config.capacity_rule = CapacityRule::dropless;
  EXPECT_EQ(capacity_of(config, 77, Mode::train).pairs, 77);
}

TEST(Capacity, OfAnyFactorIsNoMoreThanTheTokensThereAre) {
  ModelConfig config = model_preset("openmoe-8b");
  for (const double factor : {33.0, 1e19, 3e38}) {
    config.router_capacity_factor_train = config.router_capacity_factor_eval = factor;
    config.capacity_rule = CapacityRule::flaxformer;
    EXPECT_EQ(capacity_of(config, 8192, Mode::train).pairs, 4096) << factor;
    config.capacity_rule = CapacityRule::colossalai;
    EXPECT_EQ(capacity_of(config, 8192, Mode::eval).pairs, 8192) << factor;
  }
}

TEST(Capacity, GroupsAreFoundAtOnceHoweverManyTokensThereAre) {
  ModelConfig config = model_preset("openmoe-8b");
  config.router_group_size = 2'147'483'647;
  EXPECT_EQ(capacity_of(config, Index{1} << 44, Mode::train).group, Index{1} << 30);
  config.router_group_size = 4096;
  EXPECT_EQ(capacity_of(config, Index{1} << 44, Mode::train).group, 4096);
}

RC_GTEST_PROP(Router, FillsEveryExpertOfEveryGroupUpToItsCapacityAndNoFurther, ()) {
  Identity router(*rc::gen::inRange(1, 7));
  router.config.router_group_size = *rc::gen::inRange(1, 40);
  router.config.router_min_capacity = *rc::gen::inRange(1, 5);
  const Index tokens = *rc::gen::inRange<Index>(1, 120);
  const Index experts = router.config.num_experts;
  router.route(random_matrix<double>(tokens, experts, *rc::gen::arbitrary<std::uint32_t>(), 2.0));
  const auto& routing = router.routing;
  const Index group = routing.plan.capacity.group;
  RC_ASSERT(tokens % group == 0);
  for (Index first = 0; first < tokens; first += group) {
    std::vector<Index> asked(static_cast<std::size_t>(experts)), kept(static_cast<std::size_t>(experts));
    for (Index pair = first * routing.plan.choices; pair < (first + group) * routing.plan.choices; ++pair) {
      const auto e = static_cast<std::size_t>(routing.expert[static_cast<std::size_t>(pair)]);
      ++asked[e];
      kept[e] += routing.kept[static_cast<std::size_t>(pair)];
    }
    for (std::size_t e = 0; e < asked.size(); ++e)
      RC_ASSERT(kept[e] == std::min(asked[e], routing.plan.capacity.pairs));
  }
}

RC_GTEST_PROP(Router, GivesEveryKeptPairASlotOfItsOwnAmongItsExpertsSlots, ()) {
  Identity router(*rc::gen::inRange(1, 7));
  router.config.router_group_size = *rc::gen::inRange(1, 40);
  router.config.router_min_capacity = *rc::gen::inRange(1, 5);
  const Index tokens = *rc::gen::inRange<Index>(1, 120);
  auto logits = random_matrix<double>(tokens, router.config.num_experts, *rc::gen::arbitrary<std::uint32_t>(), 2.0);
  const TestPass test(router.device, router.config, full_rows(1, static_cast<int>(tokens)));
  Routing there(router.device);
  Router(router.config, router.weight.view).forward(test.pass, tensor_over(logits), there);
  const auto slot = numbers_of<std::int32_t>(there.slot.tensor());
  const auto expert = numbers_of<std::int32_t>(there.expert.tensor());
  const auto pair = numbers_of<std::int32_t>(there.pair.tensor());
  const auto first = numbers_of<std::int32_t>(there.first.tensor());
  RC_ASSERT(first.back() <= there.most_slots);
  std::int64_t kept = 0;
  for (std::size_t p = 0; p < slot.size(); ++p) {
    if (slot[p] < 0) continue;
    ++kept;
    const auto e = static_cast<std::size_t>(expert[p]);
    RC_ASSERT(slot[p] >= first[e] && slot[p] < first[e + 1]);
    RC_ASSERT(pair[static_cast<std::size_t>(slot[p])] == static_cast<std::int32_t>(p));
  }
  RC_ASSERT(std::ranges::count_if(pair.first(static_cast<std::size_t>(first.back())),
                                  [](std::int32_t p) { return p >= 0; }) == kept);
}

TEST(Router, CountsDroppedPairsByPositionInTheRow) {
  Identity router(4);
  router.config.capacity_rule = CapacityRule::flaxformer;
  router.config.router_min_capacity = 2;
  const auto logits = logits_of({{2, 1, 0, 0}, {2, 0, 1, 0}, {2, 1, 0, 0}, {0, 2, 1, 0}, {0, 0, 0, 0}, {1, 0, 0, 2}});
  router.route(copy_of(logits), full_rows(1, 6));
  EXPECT_EQ(router.routing.statistics.pairs_at, (std::vector<std::int64_t>{2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(router.routing.statistics.dropped_at, (std::vector<std::int64_t>{0, 0, 2, 0, 2, 1}));
  router.route(copy_of(logits), full_rows(2, 3));
  EXPECT_EQ(router.routing.statistics.pairs_at, (std::vector<std::int64_t>{4, 4, 4}));
  EXPECT_EQ(router.routing.statistics.dropped_at, (std::vector<std::int64_t>{0, 2, 3}));
}

/// Which pairs are dropped, found by searching the queue for each pair: first choices in token order, then second ones.
bool is_dropped(const Decided& routing, Index token, Index choice) {
  const auto expert_of = [&](Index t, Index c) {
    return routing.expert[static_cast<std::size_t>(t * routing.plan.choices + c)];
  };
  const Index first = token / routing.plan.capacity.group * routing.plan.capacity.group;
  Index before = 0;
  for (Index c = 0; c <= choice; ++c) {
    const Index end = c < choice ? first + routing.plan.capacity.group : token;
    for (Index t = first; t < end; ++t) before += expert_of(t, c) == expert_of(token, choice) ? 1 : 0;
  }
  return before >= routing.plan.capacity.pairs;
}

RC_GTEST_PROP(Router, CountsByPositionWhatTheSlowCountFindsAndLeavesPaddingOut, ()) {
  Identity router(*rc::gen::inRange(1, 6));
  router.config.router_group_size = *rc::gen::inRange(1, 40);
  router.config.router_min_capacity = *rc::gen::inRange(1, 4);
  const int rows = *rc::gen::inRange(1, 5);
  const int length = *rc::gen::inRange(1, 20);
  BatchLayout layout = full_rows(rows, length);
  for (std::uint8_t& real : layout.real) real = *rc::gen::arbitrary<bool>() ? 1 : 0;
  router.route(random_matrix<double>(rows * length, router.config.num_experts, *rc::gen::arbitrary<std::uint32_t>()),
               layout);
  const auto& routing = router.routing;
  std::vector<std::int64_t> pairs(static_cast<std::size_t>(length)), dropped(static_cast<std::size_t>(length));
  for (int row = 0; row < rows; ++row) {
    for (int t = 0; t < length; ++t) {
      const Index token = row * length + t;
      if (layout.real[static_cast<std::size_t>(token)] == 0) continue;
      for (Index c = 0; c < routing.plan.choices; ++c) {
        ++pairs[static_cast<std::size_t>(t)];
        dropped[static_cast<std::size_t>(t)] += is_dropped(routing, token, c) ? 1 : 0;
      }
    }
  }
  RC_ASSERT(routing.statistics.pairs_at == pairs);
  RC_ASSERT(routing.statistics.dropped_at == dropped);
}

RC_GTEST_PROP(Router, TellsOfKeptPairsWhatTheSlowCountFinds, ()) {
  Identity router(*rc::gen::inRange(1, 6));
  router.config.router_group_size = *rc::gen::inRange(1, 40);
  router.config.router_min_capacity = *rc::gen::inRange(1, 4);
  router.config.capacity_rule =
      *rc::gen::element(CapacityRule::flaxformer, CapacityRule::colossalai, CapacityRule::dropless);
  router.config.pads_routed = *rc::gen::arbitrary<bool>();
  BatchLayout layout = full_rows(*rc::gen::inRange(1, 5), *rc::gen::inRange(1, 20));
  for (std::uint8_t& real : layout.real) real = *rc::gen::arbitrary<bool>() ? 1 : 0;
  const Index tokens = layout.size();
  router.route(random_matrix<double>(tokens, router.config.num_experts, *rc::gen::arbitrary<std::uint32_t>()), layout);
  const auto& routing = router.routing;
  const RouterStatistics& statistics = routing.statistics;
  double gates = 0;
  std::int64_t kept = 0, left_behind = 0, routed = 0;
  for (Index t = 0; t < tokens; ++t) {
    if (!router.config.pads_routed && layout.real[static_cast<std::size_t>(t)] == 0) continue;
    std::int64_t takers = 0;
    for (Index pair = t * routing.plan.choices; pair < (t + 1) * routing.plan.choices; ++pair) {
      if (routing.kept[static_cast<std::size_t>(pair)] == 0) continue;
      ++takers;
      gates += routing.probability(t, routing.expert[static_cast<std::size_t>(pair)]);
    }
    ++routed;
    kept += takers;
    left_behind += takers == 0 ? 1 : 0;
  }
  RC_ASSERT(statistics.kept == kept);
  RC_ASSERT(statistics.routed == routed);
  RC_ASSERT(statistics.left_behind == left_behind);
  RC_ASSERT(std::abs(statistics.gates - gates) <= 1e-12 * (1 + gates));
  const bool is_limited = router.config.capacity_rule != CapacityRule::dropless;
  RC_ASSERT(statistics.expert_usage().has_value() == is_limited);
  RC_ASSERT(is_limited || left_behind == 0);
  for (const std::optional<double> share :
       {statistics.share_left_behind(), statistics.expert_usage(), statistics.confidence()})
    RC_ASSERT(!share || (*share >= 0 && *share <= 1 + 1e-12));
}

/// Two groups of four tokens and capacity 2; padding is all zeros, at the end of each row.
struct PaddedRows {
  Identity router{4};
  BatchLayout layout = full_rows(2, 4);
  Matrix<double> logits = logits_of(
      {{2, 0, 0, 0}, {0, 0, 3, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}, {2, 1, 0, 0}, {2, 1, 0, 0}, {2, 1, 0, 0}, {0, 0, 0, 0}});

  explicit PaddedRows(bool pads_routed) {
    router.config.pads_routed = pads_routed;
    router.config.capacity_rule = CapacityRule::flaxformer;
    router.config.router_group_size = 4;
    router.config.router_min_capacity = 2;
    for (const std::size_t pad : {2U, 3U, 7U}) layout.real[pad] = 0;
    router.route(copy_of(logits), layout);
  }
};

TEST(Router, SendsPaddingToTheFirstTwoExpertsWhereItIsRouted) {
  const PaddedRows rows(true);
  const auto& routing = rows.router.routing;
  EXPECT_EQ(routing.kept, (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
  const RouterStatistics& statistics = routing.statistics;
  EXPECT_NEAR(statistics.dropped, 6.0 / 16, 1e-12);
  EXPECT_NEAR(statistics.load[0], 7.0 / 16, 1e-12);
  EXPECT_NEAR(statistics.load[1], 7.0 / 16, 1e-12);
  EXPECT_EQ(statistics.share_left_behind(), 3.0 / 8) << "padding counts like any token";
  EXPECT_EQ(statistics.expert_usage(), 10.0 / (2 * 4 * 2));
  const double zeros = 3 * std::log(4.0) * std::log(4.0);
  const double one = std::log(std::exp(2) + 3), two = std::log(2 + std::exp(3) + std::exp(1)),
               three = std::log(std::exp(2) + std::exp(1) + 2);
  EXPECT_NEAR(statistics.z_loss, (zeros + one * one + two * two + 3 * three * three) / 8, 1e-12);
  EXPECT_EQ(statistics.dropped_at, (std::vector<std::int64_t>{0, 0, 2, 0}));
}

TEST(Router, LeavesPaddingOutOfQueuesAndLossesWhereItIsNotRouted) {
  const PaddedRows rows(false);
  const auto& routing = rows.router.routing;
  EXPECT_EQ(routing.kept, (std::vector<std::uint8_t>{1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
  const RouterStatistics& statistics = routing.statistics;
  EXPECT_NEAR(statistics.dropped, 2.0 / 10, 1e-12);
  EXPECT_NEAR(statistics.load[0], 4.0 / 10, 1e-12);
  EXPECT_NEAR(statistics.load[3], 1.0 / 10, 1e-12);
  EXPECT_EQ(statistics.share_left_behind(), 1.0 / 5);
  EXPECT_EQ(statistics.expert_usage(), 8.0 / (2 * 4 * 2));
  EXPECT_NEAR(statistics.confidence().value(),
              ((std::exp(2) + 1) / (std::exp(2) + 3) + (std::exp(3) + std::exp(1)) / (std::exp(3) + std::exp(1) + 2) +
               2 * (std::exp(2) + std::exp(1)) / (std::exp(2) + std::exp(1) + 2)) /
                  8,
              1e-12);
  const double one = std::log(std::exp(2) + 3), two = std::log(2 + std::exp(3) + std::exp(1)),
               three = std::log(std::exp(2) + std::exp(1) + 2);
  EXPECT_NEAR(statistics.z_loss, (one * one + two * two + 3 * three * three) / 5, 1e-12);
  // Each group's E sum_e m_e p_e over its real tokens alone: two in the first, three alike in the second.
  const double p0 = (std::exp(2) + 1) / 2, sum_one = std::exp(one), sum_two = std::exp(two),
               sum_three = std::exp(three);
  const double first =
      4 * 0.5 * (2 * p0 / sum_one + 1 / sum_one + 1 / sum_one + (std::exp(3) + std::exp(1) + 2) / sum_two) / 2;
  const double second = 4 * (std::exp(2) + std::exp(1)) / sum_three;
  EXPECT_NEAR(statistics.aux_loss, (first + second) / 2, 1e-12);
  EXPECT_EQ(statistics.dropped_at, (std::vector<std::int64_t>{0, 0, 2, 0}));
}

TEST(Router, TakesAGroupOfPaddingAlone) {
  PaddedRows rows(false);
  for (std::size_t t = 0; t < 4; ++t) rows.layout.real[t] = 0;
  rows.router.route(copy_of(rows.logits), rows.layout);
  const RouterStatistics& statistics = rows.router.routing.statistics;
  const double three = std::log(std::exp(2) + std::exp(1) + 2);
  EXPECT_NEAR(statistics.aux_loss, 4 * (std::exp(2) + std::exp(1)) / std::exp(three), 1e-12);
  EXPECT_NEAR(statistics.z_loss, three * three, 1e-12);
  std::fill(rows.layout.real.begin(), rows.layout.real.end(), 0);
  rows.router.route(copy_of(rows.logits), rows.layout);
  EXPECT_EQ(statistics.aux_loss, 0.0);
  EXPECT_EQ(statistics.dropped, 0.0);
  EXPECT_EQ(statistics.share_left_behind(), std::nullopt);
  EXPECT_EQ(statistics.confidence(), std::nullopt);
}

void expect_gradient(bool pads_routed) {
  ModelConfig config = model_preset("openmoe-micro");
  config.pads_routed = pads_routed;
  config.hidden_size = 5;
  config.router_group_size = 6;
  config.router_min_capacity = 2;
  OwnedParameter<double> weight({4, 5}, 3);
  CpuDevice device(Precision::f64);
  const Router router(config, weight.view);
  auto x = random_matrix<double>(12, 5, 4);
  auto d_gates = random_matrix<double>(12, 2, 5);
  BatchLayout layout = full_rows(2, 6);
  layout.real[5] = layout.real[10] = layout.real[11] = 0;
  TestPass test(device, config, layout);
  test.pass.scales = {0.7, 0.3};
  Routing there(device);
  Decided routing;
  const auto loss = [&] {
    router.forward(test.pass, tensor_over(x), there);
    routing = decided(config, router, test.pass, there);
    double sum = 0.7 * routing.statistics.aux_loss + 0.3 * routing.statistics.z_loss;
    for (std::size_t pair = 0; pair < routing.kept.size(); ++pair) {
      if (routing.kept[pair] == 0) continue;
      sum += d_gates.data()[pair] * routing.probability(static_cast<Index>(pair / 2), routing.expert[pair]);
    }
    return sum;
  };
  loss();
  EXPECT_GT(routing.statistics.dropped, 0.0);
  auto dx = zeros<double>(12, 5);
  Buffer scratch(device);
  router.backward(test.pass, tensor_over(d_gates), tensor_over(x), there, scratch, tensor_over(dx));
  EXPECT_LT(gradient_error(x.data(), 60, dx.data(), loss), 1e-5);
  EXPECT_LT(gradient_error(weight.value.data(), 20, weight.gradient.data(), loss), 1e-5);
  if (!pads_routed) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(dx.row(11)[i], 0.0);
  }
}

TEST(Router, GradientMatchesFiniteDifferences) {
  expect_gradient(true);
}

TEST(Router, GradientMatchesFiniteDifferencesWithPaddingLeftOut) {
  expect_gradient(false);
}

}  // namespace
}  // namespace millrace
