#include "pipeline/mix/quota.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "stages/philox.h"
#include "tests/pipeline/share_bounds.h"
#include "tests/property.h"

namespace millrace {
namespace {

constexpr int kQuickCases = 300;
constexpr int kLongCases = 10'000;

enum class Lengths : std::uint8_t {
  fixed,      ///< All have the maximum length.
  varying,    ///< 1 to the maximum, a new one for a claimant after each of its turns: its next denoiser.
  cut_short,  ///< As varying, but less is taken than announced, because separators are not raw tokens.
};

/// The claimants' state. `weights` is kept separately for out_of_share().
struct Standing {
  std::vector<ShareUnits> weights;
  std::vector<std::uint64_t> taken;
};

/// Describes the first of `turns` turns that violates a bound; nothing if none does.
std::string first_breach(Standing& standing, std::uint64_t longest, Lengths lengths, std::uint64_t turns,
                         ItemRng& rng) {
  const auto length = [&] { return lengths == Lengths::fixed ? longest : 1 + rng.below(longest); };
  std::vector<Quota> claimants;
  for (std::size_t i = 0; i < standing.weights.size(); ++i)
    claimants.push_back({standing.weights[i], standing.taken[i], length()});
  for (std::uint64_t turn = 0; turn < turns; ++turn) {
    const std::size_t chosen = choose_by_quota(claimants, longest);
    const std::uint64_t next = claimants[chosen].next;
    standing.taken[chosen] += lengths == Lengths::cut_short ? rng.below(next + 1) : next;
    claimants[chosen].taken = standing.taken[chosen];
    claimants[chosen].next = length();
    std::string breach = out_of_share(standing.weights, standing.taken, longest);
    if (!breach.empty()) return "after turn " + std::to_string(turn) + ": " + breach;
  }
  return "";
}

void keeps_within_one_longest_example() {
  const auto count = *rc::gen::inRange<std::size_t>(1, 201);
  const auto longest = *rc::gen::inRange<std::uint64_t>(1, 5000);
  const auto lengths = *rc::gen::element(Lengths::fixed, Lengths::varying, Lengths::cut_short);
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  Standing standing{random_shares(count, rng), std::vector<std::uint64_t>(count, 0)};
  // Few claimants get more turns, so that a share of 0.0001 gets several.
  const std::uint64_t turns = std::clamp<std::uint64_t>(100'000 / count, 1000, 30'000);
  RC_ASSERT(first_breach(standing, longest, lengths, turns, rng) == "");
}

TEST(Quota, KeepsEveryClaimantWithinOneExampleOfItsShareAtEveryPrefix) {
  expect_holds(kQuickCases, keeps_within_one_longest_example);
}

TEST(Quota, KeepsEveryClaimantWithinOneExampleOfItsShareAtEveryPrefixLong) {
  expect_holds(kLongCases, keeps_within_one_longest_example);
}

/// 100,000 turns from where every claimant has exactly its share of `total`.
std::string breach_from_exact_shares(std::uint64_t total, std::size_t count, Lengths lengths) {
  ItemRng rng(total, Purpose::span_lengths, count);
  Standing standing{random_shares(count, rng), {}};
  for (const ShareUnits weight : standing.weights) standing.taken.push_back(weight * (total / kShareUnits));
  return first_breach(standing, 2040, lengths, 100'000, rng);
}

TEST(Quota, DoesNotDriftAfterTenTrillionTokens) {
  for (const std::size_t count : {2U, 8U, 200U}) {
    EXPECT_EQ(breach_from_exact_shares(10'000'000'000'000, count, Lengths::fixed), "");
    EXPECT_EQ(breach_from_exact_shares(10'000'000'000'000, count, Lengths::varying), "");
  }
}

TEST(Quota, KeepsToSharesWhereTokensTimesSharesPassMultiplesOfTwoToThe64) {
  for (const double multiple : {1, 271}) {  // The 271st is passed just before 10^13 tokens.
    const auto near = static_cast<std::uint64_t>(multiple * 0x1p64 / kShareUnits) - 100 * 2040;
    Standing standing{{kShareUnits / 2, kShareUnits / 2}, {near, near}};
    ItemRng rng(0, Purpose::span_lengths, 0);
    EXPECT_EQ(first_breach(standing, 2040, Lengths::fixed, 1000, rng), "");
  }
}

TEST(Quota, IsExactUpToTheTotalItPromises) {
  EXPECT_EQ(breach_from_exact_shares(9'223'000'000'000'000'000, 8, Lengths::varying), "");
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

TEST(Quota, PassesOverTheClosed) {
  const std::vector<Quota> claimants{{0, 0, 1}, {5, 100, 1}};
  EXPECT_EQ(choose_by_quota(claimants, 1), 1U);
}

}  // namespace
}  // namespace millrace
