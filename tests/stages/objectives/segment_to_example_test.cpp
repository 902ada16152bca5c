#include "stages/objectives/segment_to_example.h"

#include <numeric>

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/stages/objectives/openmoe_denoisers.h"

namespace millrace {
namespace {

Segment segment_of(int length) {
  Segment segment;
  segment.tokens.resize(static_cast<std::size_t>(length));
  std::iota(segment.tokens.begin(), segment.tokens.end(), 1000);
  return segment;
}

TEST(SegmentToExample, SolvesTheRawLengthsOfAFullRowOf2048) {
  EXPECT_EQ(SegmentToExample(span(0.15, 3), kPrompt, kIds, 2048).raw_length(), 1855);
  EXPECT_EQ(SegmentToExample(span(0.15, 8), kPrompt, kIds, 2048).raw_length(), 1967);
  EXPECT_EQ(SegmentToExample(span(0.5, 3), kPrompt, kIds, 2048).raw_length(), 1531);
  EXPECT_EQ(SegmentToExample(span(0.5, 8), kPrompt, kIds, 2048).raw_length(), 1814);
  EXPECT_EQ(SegmentToExample(span(0.5, 64), kPrompt, kIds, 2048).raw_length(), 2009);
  EXPECT_EQ(SegmentToExample(of_kind(DenoiserKind::prefix), {1, 2, 3, 4, 5, 6}, kIds, 2048).raw_length(), 2040);
  EXPECT_EQ(SegmentToExample(of_kind(DenoiserKind::causal), {}, kIds, 2048).raw_length(), 2047);
}

TEST(SegmentToExample, LeavesOnePadForTheHalfMaskedSpansOfEight) {
  EXPECT_EQ(SegmentToExample(span(0.5, 8), kPrompt, kIds, 2048).longest_example(), 2047);
}

TEST(SegmentToExample, RefusesMoreSpansThanSentinelsNamingTheLongestRow) {
  try {
    SegmentToExample(span(0.5, 3), kPrompt, kIds, 4096);
    FAIL();
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    const std::size_t at = message.rfind(' ');
    const int longest = std::stoi(message.substr(at));
    EXPECT_NO_THROW(SegmentToExample(span(0.5, 3), kPrompt, kIds, longest));
    EXPECT_THROW(SegmentToExample(span(0.5, 3), kPrompt, kIds, longest + 3), ConfigError);
  }
}

TEST(SegmentToExample, RefusesARowWithoutRoom) {
  EXPECT_THROW(SegmentToExample(span(0.5, 3), kPrompt, kIds, 8), ConfigError);
}

TEST(SegmentToExample, EndsInputsAndTargetsInEosAndBeginsWithThePrompt) {
  const SegmentToExample denoise(span(0.15, 3), kPrompt, kIds, 256);
  ItemRng rng(1, Purpose::span_lengths, 0);
  const Example example = denoise(segment_of(denoise.raw_length()), rng);
  EXPECT_TRUE(std::equal(kPrompt.begin(), kPrompt.end(), example.inputs.begin()));
  EXPECT_EQ(example.inputs.back(), kIds.eos);
  EXPECT_EQ(example.targets.back(), kIds.eos);
  EXPECT_EQ(example.targets.front(), kIds.first_sentinel);
  EXPECT_EQ(example.inputs.size() + example.targets.size(), static_cast<std::size_t>(denoise.longest_example()));
}

}  // namespace
}  // namespace millrace
