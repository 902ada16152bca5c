#include "stages/segment_to_example.h"

#include <numeric>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "stages/errors.h"
#include "stages/example_to_row.h"

namespace millrace {
namespace {

constexpr SpecialIds kIds{0, 1, 256'299, 300};
const std::vector<TokenId> kPrompt{11, 12, 13, 14, 15};

Denoiser span(double mask_ratio, double mean_span) {
  Denoiser denoiser;
  denoiser.name = "span";
  denoiser.mask_ratio = mask_ratio;
  denoiser.mean_span = mean_span;
  return denoiser;
}

Denoiser of_kind(DenoiserKind kind) {
  Denoiser denoiser;
  denoiser.name = "other";
  denoiser.kind = kind;
  return denoiser;
}

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
  EXPECT_EQ(SegmentToExample(span(0.5, 8), kPrompt, kIds, 2048).example_length(), 2047);
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
  EXPECT_EQ(example.inputs.size() + example.targets.size(), static_cast<std::size_t>(denoise.example_length()));
}

RC_GTEST_PROP(SegmentToExample, LosesNoTokenOfAnyDenoiser, ()) {
  const int row_length = *rc::gen::inRange(32, 1024);
  const auto kind = *rc::gen::element(DenoiserKind::span, DenoiserKind::prefix, DenoiserKind::causal);
  Denoiser denoiser = of_kind(kind);
  if (kind == DenoiserKind::span) denoiser = span(*rc::gen::element(0.15, 0.3, 0.5), *rc::gen::element(3.0, 8.0, 64.0));
  const std::vector<TokenId> prompt = kind == DenoiserKind::causal ? std::vector<TokenId>{} : kPrompt;
  const SegmentToExample denoise(denoiser, prompt, kIds, row_length);
  const Segment segment = segment_of(denoise.raw_length());
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 3);
  const Example example = denoise(segment, rng);
  RC_ASSERT(denoise.restore(example) == segment.tokens);
  RC_ASSERT(denoise.example_length() <= row_length);
  RC_ASSERT(denoise.example_length() >= row_length - 2);
}

TEST(ExampleToRow, ShiftsLabelsRightAndWeighsTargetsOnly) {
  const Row row = example_to_row({{7, 8, 5, 1}, {3, 9, 1}}, 0, 8);
  EXPECT_EQ(row.labels, (std::vector<TokenId>{7, 8, 5, 1, 3, 9, 1, 0}));
  EXPECT_EQ(row.tokens, (std::vector<TokenId>{0, 7, 8, 5, 1, 3, 9, 0}));
  EXPECT_EQ(row.loss_weights, (std::vector<float>{0, 0, 0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(row.segment_ids, (std::vector<std::int32_t>{1, 1, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(row.positions, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

}  // namespace
}  // namespace millrace
