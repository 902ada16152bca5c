#include "stages/philox.h"

#include <cmath>
#include <set>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Words = std::array<std::uint32_t, 4>;

TEST(Philox, MatchesThePublishedKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32_10({ones, ones, ones, ones}, {ones, ones}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(ItemRng, GivesTheSameDrawsForTheSameItemAndOthersForAnyOther) {
  const auto first = [](std::uint64_t seed, Purpose purpose, std::uint64_t item) {
    return ItemRng(seed, purpose, item).next_u64();
  };
  EXPECT_EQ(first(1, Purpose::span_lengths, 7), first(1, Purpose::span_lengths, 7));
  const std::set<std::uint64_t> all{first(1, Purpose::span_lengths, 7), first(2, Purpose::span_lengths, 7),
                                    first(1, Purpose::block_order, 7), first(1, Purpose::span_lengths, 8)};
  EXPECT_EQ(all.size(), 4U);
}

TEST(ItemRng, DrawsBelowABoundUniformly) {
  ItemRng rng(3, Purpose::span_lengths, 0);
  std::array<int, 10> counts{};
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) ++counts[rng.below(counts.size())];
  double chi_square = 0;
  for (const int count : counts) chi_square += std::pow(count - kDraws / 10, 2) / (kDraws / 10);
  EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, p = 0.001; the seed is fixed.
}

TEST(ItemRng, PermutesEveryIndexOnce) {
  const std::vector<std::uint32_t> order = ItemRng(3, Purpose::block_order, 1).permutation(1000);
  EXPECT_EQ(std::set<std::uint32_t>(order.begin(), order.end()).size(), 1000U);
  EXPECT_NE(order.front(), 0U);
}

TEST(ItemRng, DrawsNormalsWithTheRightMoments) {
  ItemRng rng(3, Purpose::parameter_init, 0);
  constexpr int kDraws = 100'000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.015);
  EXPECT_NEAR(squares / kDraws, 1, 0.02);
}

}  // namespace
}  // namespace millrace
