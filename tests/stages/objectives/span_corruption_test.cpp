#include "stages/objectives/span_corruption.h"

#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
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
                                         Published{2048, 0.5, 3, 3070, 2048}, Published{2048, 0.5, 8, 3638, 2048},
                                         Published{2048, 0.5, 64, 4030, 2048}, Published{64, 0.2, 2, 70, 22},
                                         Published{64, 0.2, 1, 63, 27}),
                         [](const auto& of) {
                           return fmt::format("Of{}At{}PercentInSpansOf{}", of.param.inputs_length,
                                              std::lround(100 * of.param.mask_ratio), of.param.mean_span);
                         });

/// A second implementation of T5's random_spans_helper, by search from above.
TEST(OpenMoeLengths, AreThoseOfTheFormulasForEveryInputsLengthFrom64To4096) {
  const std::vector<std::pair<double, double>> denoisers{{0.15, 3}, {0.15, 8}, {0.5, 3}, {0.5, 8}, {0.5, 64}};
  for (const auto& [mask_ratio, mean_span] : denoisers) {
    const auto noise_of = [ratio = mask_ratio](int raw) {
      return std::nearbyintf(static_cast<float>(raw) * static_cast<float>(ratio));
    };
    const auto spans_of = [&, mean = mean_span](int raw) {
      return std::nearbyintf(noise_of(raw) / static_cast<float>(mean));
    };
    for (int inputs_length = 64; inputs_length <= 4096; ++inputs_length) {
      const auto inputs_of = [&](int raw) {
        return raw - static_cast<int>(noise_of(raw)) + static_cast<int>(spans_of(raw)) + 1;
      };
      int raw = 2 * inputs_length + 2;
      while (inputs_of(raw) > inputs_length) --raw;
      int targets = static_cast<int>(noise_of(raw)) + static_cast<int>(spans_of(raw)) + 1;
      const bool minor_hack = mask_ratio == 0.5 && targets > inputs_of(raw);
      const SpanLengths lengths = openmoe_span_lengths(inputs_length, mask_ratio, mean_span);
      ASSERT_EQ(lengths.raw, raw - minor_hack) << inputs_length << ", " << mask_ratio << ", " << mean_span;
      ASSERT_EQ(lengths.targets, targets - minor_hack);
    }
  }
}

TEST(OpenMoeLengths, LeaveBothFeaturesOneShortWhereTheReferenceLowersThemAt2048) {
  for (const double mean_span : {8.0, 64.0}) {
    const int raw = openmoe_span_lengths(2048, 0.5, mean_span).raw;
    const auto [noise, spans] = noise_counts(raw, 0.5, mean_span);
    EXPECT_EQ(noise + spans + 1, 2047);
    EXPECT_EQ(raw - noise + spans + 1, 2047);
  }
}

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

TEST(PieceLengthLaw, IsThatOfAllCompositionsCountedOut) {
  std::map<int, int> counts;
  int compositions = 0;
  for (int cuts = 0; cuts < 1 << 8; ++cuts) {  // Of 9 items; 3 cuts make 4 pieces.
    if (std::popcount(static_cast<unsigned>(cuts)) != 3) continue;
    ++counts[std::countr_zero(static_cast<unsigned>(cuts)) + 1];
    ++compositions;
  }
  const std::vector<double> law = piece_length_law(9, 4);
  ASSERT_EQ(law.size(), counts.size());
  for (const auto& [length, count] : counts)
    EXPECT_NEAR(law[static_cast<std::size_t>(length) - 1], static_cast<double>(count) / compositions, 1e-12);
  EXPECT_EQ(piece_length_law(5, 1), (std::vector<double>{0, 0, 0, 0, 1}));
}

/// Chi-square at the level of 0.1 % (Wilson and Hilferty's approximation), cells of at least 10 expected draws.
void expect_drawn_from(const std::map<int, int>& counts, const std::vector<double>& law, int draws) {
  double chi_square = 0;
  int cells = 0;
  double expected = 0;
  double found = 0;
  double expected_left = draws;
  for (std::size_t length = 1; length <= law.size(); ++length) {
    expected += law[length - 1] * draws;
    expected_left -= law[length - 1] * draws;
    const auto count = counts.find(static_cast<int>(length));
    if (count != counts.end()) found += count->second;
    if (expected < 10 || (expected_left < 10 && length < law.size())) continue;
    chi_square += (found - expected) * (found - expected) / expected;
    ++cells;
    expected = found = 0;
  }
  const double degrees = cells - 1;
  const double scale = 2 / (9 * degrees);
  EXPECT_GT(cells, 5);
  EXPECT_LT(chi_square, degrees * std::pow(1 - scale + 3.09 * std::sqrt(scale), 3));
}

TEST(RandomSpanMask, DrawsSpansAndTextsOfOpenMoesDenoisersFromTheExactLaw) {
  constexpr int kDraws = 20'000;
  for (const auto& [raw, mask_ratio, mean_span] : {std::tuple(1137, 0.15, 3.0), std::tuple(1178, 0.15, 8.0),
                                                   std::tuple(1534, 0.5, 3.0), std::tuple(2014, 0.5, 64.0)}) {
    const auto [noise, spans] = noise_counts(raw, mask_ratio, mean_span);
    std::map<int, int> noise_lengths, text_lengths;
    for (int i = 0; i < kDraws; ++i) {
      ItemRng rng(9, Purpose::span_lengths, static_cast<std::uint64_t>(i));
      const SpanMask mask = random_span_mask(raw, mask_ratio, mean_span, rng);
      // One piece per mask, a different one each time, because the pieces of one mask depend on each other.
      const auto piece = static_cast<std::size_t>(i) % mask.noise.size();
      ++noise_lengths[mask.noise[piece]];
      ++text_lengths[mask.text[piece]];
    }
    expect_drawn_from(noise_lengths, piece_length_law(noise, spans), kDraws);
    expect_drawn_from(text_lengths, piece_length_law(raw - noise, spans), kDraws);
  }
}

}  // namespace
}  // namespace millrace
