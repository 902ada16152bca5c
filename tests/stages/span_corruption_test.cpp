#include "stages/span_corruption.h"

#include <cmath>
#include <map>
#include <numeric>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace millrace {
namespace {

struct Published {
  int inputs_length;
  double mask_ratio;
  double mean_span;
  int raw;
  int targets;
};

class OpenMoeLengths : public testing::TestWithParam<Published> {};

TEST_P(OpenMoeLengths, AreTheReferenceCodesToTheToken) {
  const Published& row = GetParam();
  const SpanLengths lengths = openmoe_span_lengths(row.inputs_length, row.mask_ratio, row.mean_span);
  EXPECT_EQ(lengths.raw, row.raw);
  EXPECT_EQ(lengths.targets, row.targets);
}

INSTANTIATE_TEST_SUITE_P(AllDenoisers, OpenMoeLengths,
                         testing::Values(Published{1024, 0.15, 3, 1137, 229}, Published{1024, 0.15, 8, 1178, 200},
                                         Published{1024, 0.5, 3, 1534, 1024}, Published{1024, 0.5, 8, 1818, 1024},
                                         Published{1024, 0.5, 64, 2014, 1024}, Published{512, 0.15, 3, 568, 114},
                                         Published{512, 0.15, 8, 588, 100}, Published{512, 0.5, 3, 766, 512},
                                         Published{512, 0.5, 8, 908, 512}, Published{512, 0.5, 64, 1006, 512},
                                         Published{2048, 0.15, 3, 2274, 456}, Published{2048, 0.15, 8, 2357, 399},
                                         Published{2048, 0.5, 3, 3070, 2048}, Published{64, 0.2, 2, 70, 22},
                                         Published{64, 0.2, 1, 63, 27}));

TEST(NoiseCounts, AreThoseOfThePaper) {
  EXPECT_EQ(noise_counts(1137, 0.15, 3), (NoiseCounts{171, 57}));
  EXPECT_EQ(noise_counts(1178, 0.15, 8), (NoiseCounts{177, 22}));
  EXPECT_EQ(noise_counts(1534, 0.5, 3), (NoiseCounts{767, 256}));
  EXPECT_EQ(noise_counts(1818, 0.5, 8), (NoiseCounts{909, 114}));
  EXPECT_EQ(noise_counts(2014, 0.5, 64), (NoiseCounts{1007, 16}));
}

TEST(NoiseCounts, RoundHalfToEven) {
  EXPECT_EQ(noise_counts(5, 0.5, 1).noise, 2);
  EXPECT_EQ(noise_counts(7, 0.5, 1).noise, 4);
}

RC_GTEST_PROP(RandomComposition, SplitsAllItemsInNonEmptyParts, ()) {
  const int items = *rc::gen::inRange(1, 400);
  const int parts = *rc::gen::inRange(1, items + 1);
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  const std::vector<int> lengths = random_composition(items, parts, rng);
  RC_ASSERT(static_cast<int>(lengths.size()) == parts);
  RC_ASSERT(std::accumulate(lengths.begin(), lengths.end(), 0) == items);
  for (const int length : lengths) RC_ASSERT(length >= 1);
}

TEST(RandomComposition, IsEquallyLikelyToBeEachOne) {
  std::map<std::vector<int>, int> counts;
  constexpr int kDraws = 60'000;
  for (int i = 0; i < kDraws; ++i) {
    ItemRng rng(5, Purpose::span_lengths, static_cast<std::uint64_t>(i));
    ++counts[random_composition(7, 3, rng)];
  }
  ASSERT_EQ(counts.size(), 15U);  // C(6, 2)
  double chi_square = 0;
  for (const auto& [lengths, count] : counts) chi_square += std::pow(count - kDraws / 15, 2) / (kDraws / 15);
  EXPECT_LT(chi_square, 36.1);  // 14 degrees of freedom, p = 0.001; the seed is fixed.
}

}  // namespace
}  // namespace millrace
