#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/stages/objectives/openmoe_denoisers.h"

namespace millrace {
namespace {

constexpr FeatureLengths kOpenMoe{1024, 1024};

Segment segment_of(const SegmentToExample& denoise) {
  Segment segment;
  segment.tokens.resize(static_cast<std::size_t>(denoise.raw_length()));
  std::iota(segment.tokens.begin(), segment.tokens.end(), 1000);
  return segment;
}

struct PublishedSpan {
  Denoiser denoiser;
  int raw;
  std::size_t inputs;
  std::size_t targets;
};

TEST(OpenMoeLayout, GivesTheSpanLengthsOfThePublishedSpanCode) {
  for (const auto& [denoiser, raw, inputs, targets] :
       {PublishedSpan{span(0.15, 3), 1137, 1024, 229}, PublishedSpan{span(0.15, 8), 1178, 1024, 200},
        PublishedSpan{span(0.5, 3), 1534, 1024, 1024}, PublishedSpan{span(0.5, 8), 1818, 1024, 1024},
        PublishedSpan{span(0.5, 64), 2014, 1024, 1024}}) {
    for (const std::vector<TokenId>& prompt : {std::vector<TokenId>{}, kPrompt}) {
      const SegmentToExample denoise(denoiser, prompt, kIds, kOpenMoe);
      ASSERT_EQ(denoise.raw_length(), raw);
      ItemRng rng(1, Purpose::span_lengths, 0);
      const Example example = denoise(segment_of(denoise), rng);
      EXPECT_EQ(example.inputs.size(), inputs);
      EXPECT_EQ(example.targets.size(), targets);
      EXPECT_EQ(example.inputs.back(), kIds.eos);
      EXPECT_EQ(example.targets.back(), kIds.eos);
    }
  }
}

TEST(OpenMoeLayout, LosesNothingOfSpansWithoutAPrompt) {
  const SegmentToExample denoise(span(0.15, 3), {}, kIds, kOpenMoe);
  const Segment segment = segment_of(denoise);
  ItemRng rng(1, Purpose::span_lengths, 0);
  const Example example = denoise(segment, rng);
  EXPECT_EQ(example.trimmed, 0U);
  EXPECT_EQ(example.inputs[1022], kIds.first_sentinel - 56);
  EXPECT_EQ(denoise.restore(example), segment.tokens);
}

TEST(OpenMoeLayout, LetsThePromptPushAsManyIdsOffTheInputsWithTheLastSentinelAmongThem) {
  const SegmentToExample plain(span(0.15, 8), {}, kIds, kOpenMoe);
  const SegmentToExample prompted(span(0.15, 8), kPrompt, kIds, kOpenMoe);
  ItemRng rng(4, Purpose::span_lengths, 0);
  ItemRng same(4, Purpose::span_lengths, 0);
  const Example whole = plain(segment_of(plain), rng);
  const Example example = prompted(segment_of(plain), same);
  std::vector<TokenId> expected = kPrompt;
  expected.insert(expected.end(), whole.inputs.begin(), whole.inputs.begin() + 1018);
  expected.push_back(kIds.eos);
  EXPECT_EQ(example.inputs, expected);
  EXPECT_EQ(example.targets, whole.targets);
  EXPECT_GT(example.trimmed, 0U);
  EXPECT_LT(example.trimmed, kPrompt.size()) << "the last sentinel is no token of the segment";
}

TEST(OpenMoeLayout, SplitsSegmentsOf1023AtTheSameUniformPointAsLayoutFull) {
  const SegmentToExample denoise(of_kind(DenoiserKind::prefix), {}, kIds, kOpenMoe);
  ASSERT_EQ(denoise.raw_length(), 1023);
  const Segment segment = segment_of(denoise);
  ItemRng rng(2, Purpose::span_lengths, 7);
  const auto split = static_cast<std::ptrdiff_t>(1 + ItemRng(2, Purpose::span_lengths, 7).below(1022));
  const Example example = denoise(segment, rng);
  std::vector<TokenId> inputs(segment.tokens.begin(), segment.tokens.begin() + split);
  inputs.push_back(kIds.eos);
  EXPECT_EQ(example.inputs, inputs);
  EXPECT_EQ(example.inputs.size() + example.targets.size(), 1025U);
}

TEST(OpenMoeLayout, EndsEveryCausalRowInEosForWhichItsLastTokenIsTrimmed) {
  const SegmentToExample denoise(of_kind(DenoiserKind::causal), {}, kIds, FeatureLengths{0, 2048});
  ASSERT_EQ(denoise.raw_length(), 2048);
  Segment segment = segment_of(denoise);
  segment.documents = {{0, 0, 0, 40, 0, 0}, {0, 1, 0, 2007, 41, 0}, {0, 2, 0, 1, 2047, 0}};
  ItemRng rng(1, Purpose::span_lengths, 0);
  const Example example = denoise(segment, rng);
  std::vector<TokenId> expected(segment.tokens.begin(), segment.tokens.begin() + 2047);
  expected.push_back(kIds.eos);
  EXPECT_EQ(example.targets, expected);
  EXPECT_TRUE(example.inputs.empty());
  EXPECT_EQ(example.trimmed, 1U);
  EXPECT_EQ(example.document_starts, (std::vector<std::uint32_t>{41})) << "the third document's only token is trimmed";
}

TEST(OpenMoeLayout, RefusesMoreSpansThanSentinelsNamingTheLongestInputs) {
  try {
    SegmentToExample(span(0.5, 3), kPrompt, kIds, FeatureLengths{2048, 2048});
    FAIL();
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    const int longest = std::stoi(message.substr(message.rfind(' ')));
    EXPECT_NO_THROW(SegmentToExample(span(0.5, 3), kPrompt, kIds, FeatureLengths{longest, longest}));
    EXPECT_THROW(SegmentToExample(span(0.5, 3), kPrompt, kIds, FeatureLengths{longest + 4, longest}), ConfigError);
  }
}

TEST(OpenMoeLayout, RefusesFeaturesWithoutRoomForThePromptAndTwoTokens) {
  EXPECT_THROW(SegmentToExample(of_kind(DenoiserKind::prefix), kPrompt, kIds, FeatureLengths{7, 64}), ConfigError);
  EXPECT_NO_THROW(SegmentToExample(of_kind(DenoiserKind::prefix), kPrompt, kIds, FeatureLengths{8, 64}));
  EXPECT_THROW(SegmentToExample(of_kind(DenoiserKind::causal), {}, kIds, FeatureLengths{0, 2}), ConfigError);
}

}  // namespace
}  // namespace millrace
