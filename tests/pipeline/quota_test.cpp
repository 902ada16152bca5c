#include "pipeline/quota.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "stages/philox.h"

namespace millrace {
namespace {

RC_GTEST_PROP(Quota, KeepsEveryClaimantWithinOneLongestExampleOfItsShareAtEveryPrefix, ()) {
  const auto count = *rc::gen::inRange<std::size_t>(1, 30);
  constexpr std::uint64_t kLongest = 2040;
  std::vector<Quota> claimants;
  double weights = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto weight = *rc::gen::inRange<ShareUnits>(100'000, 999'900'000);
    claimants.push_back({weight, 0, 1});
    weights += static_cast<double>(weight);
  }
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  double total = 0;
  for (int step = 0; step < 2000; ++step) {
    for (Quota& claimant : claimants) claimant.next = 1500 + rng.below(kLongest - 1500 + 1);
    Quota& chosen = claimants[choose_by_quota(claimants, kLongest)];
    chosen.taken += chosen.next;
    total += static_cast<double>(chosen.next);
    for (const Quota& claimant : claimants) {
      const double asked = static_cast<double>(claimant.weight) / weights * total;
      RC_ASSERT(std::abs(static_cast<double>(claimant.taken) - asked) <= static_cast<double>(kLongest));
    }
  }
}

TEST(Quota, TakesTurnsByOneUnitInTheOrderOfTheList) {
  std::vector<Quota> claimants{{500'000'000, 0, 1}, {500'000'000, 0, 1}};
  std::vector<std::size_t> turns;
  for (int i = 0; i < 4; ++i) {
    turns.push_back(choose_by_quota(claimants, 1));
    ++claimants[turns.back()].taken;
  }
  EXPECT_EQ(turns, (std::vector<std::size_t>{0, 1, 0, 1}));
}

TEST(Quota, DoesNotDriftOverTenTrillionTokens) {
  std::vector<Quota> claimants{{1'000'000, 10'000'000'000, 2040}, {999'000'000, 9'990'000'000'000, 2040}};
  for (int i = 0; i < 10'000; ++i) claimants[choose_by_quota(claimants, 2040)].taken += 2040;
  const auto total = static_cast<double>(claimants[0].taken + claimants[1].taken);
  EXPECT_NEAR(static_cast<double>(claimants[0].taken), 0.001 * total, 2040);
}

TEST(Quota, PassesOverTheClosed) {
  const std::vector<Quota> claimants{{0, 0, 1}, {5, 100, 1}};
  EXPECT_EQ(choose_by_quota(claimants, 1), 1U);
}

}  // namespace
}  // namespace millrace
