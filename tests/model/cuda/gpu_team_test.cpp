// The GPU's team against what its contract says, and kernels with it against kernels of the processor.
#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/model/cuda/lanes_in_turn.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;

constexpr Order kOrders[] = {Order::forwards, Order::backwards, Order::shuffled};

TEST(GpuTeam, GivesEveryLaneTheSumAndTheMaximumOfAllTerms) {
  expect_holds(20, [] {
    const Index count = *rc::gen::inRange<Index>(1, 300);
    std::vector<std::int32_t> terms(static_cast<std::size_t>(count));
    for (std::int32_t& term : terms) term = *rc::gen::inRange(-1000, 1000);
    std::int32_t sum = 0;
    for (const std::int32_t term : terms) sum += term;
    const std::int32_t largest = *std::ranges::max_element(terms);
    const Order order = *rc::gen::elementOf(std::vector<Order>(std::begin(kOrders), std::end(kOrders)));
    std::array<bool, kLanesInTurn> is_right{};
    in_a_block(order, [&](const TestTeam& team, int lane) {
      const auto term = [&](Index j) { return terms[static_cast<std::size_t>(j)]; };
      const auto wide = [&](Index j) { return static_cast<double>(terms[static_cast<std::size_t>(j)]); };
      const bool first = team.sum(count, term) == sum && team.max(count, term) == largest;
      // Again at once: what lanes exchange must not be overwritten while some still read it.
      is_right[static_cast<std::size_t>(lane)] = first && team.sum(count, wide) == sum && team.sum(0, term) == 0;
    });
    for (const bool right : is_right) RC_ASSERT(right);
  });
}

TEST(GpuTeam, ScansToTheSumOfTheLanesBefore) {
  for (const Order order : kOrders) {
    std::array<std::int32_t, kLanesInTurn> before{};
    std::array<std::int32_t, kLanesInTurn> all{};
    in_a_block(order, [&](const TestTeam& team, int lane) {
      TestTeam::Each<std::int32_t> values;
      team.lanes([&](int own) { values[own] = own * own + 1; });
      all[static_cast<std::size_t>(lane)] = team.scan(values);
      before[static_cast<std::size_t>(lane)] = values[lane];
    });
    std::int32_t sum = 0;
    for (int lane = 0; lane < kLanesInTurn; ++lane) {
      EXPECT_EQ(before[static_cast<std::size_t>(lane)], sum) << "lane " << lane;
      sum += lane * lane + 1;
    }
    for (const std::int32_t one : all) EXPECT_EQ(one, sum);
  }
}

TEST(GpuTeam, EachTakesEveryIndexOnceBehindABarrier) {
  for (const Order order : kOrders) {
    std::vector<int> times(130);
    std::array<int, kLanesInTurn> sums{};
    in_a_block(order, [&](const TestTeam& team, int lane) {
      team.each(130, [&](Index j) { ++times[static_cast<std::size_t>(j)]; });
      for (const int one : times) sums[static_cast<std::size_t>(lane)] += one;
    });
    EXPECT_EQ(times, std::vector<int>(130, 1));
    for (const int sum : sums) EXPECT_EQ(sum, 130);
  }
}

TEST(GpuTeam, RefusesLanesThatDoNotAllComeToABarrier) {
  EXPECT_THROW(in_a_block(Order::forwards,
                          [](const TestTeam& team, int lane) {
                            if (lane != 5) team.each(1, [](Index) {});
                          }),
               std::logic_error);
}

}  // namespace
}  // namespace millrace
