// Inputs and targets can be turned back into the original tokens, for any denoiser, in both layouts.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tests/property.h"
#include "tests/stages/objectives/openmoe_denoisers.h"

namespace millrace {
namespace {

constexpr int kQuickCases = 1000;
constexpr int kLongCases = 100'000;

Denoiser any_denoiser() {
  Denoiser denoiser;
  denoiser.kind = static_cast<DenoiserKind>(*rc::gen::inRange<std::size_t>(0, kDenoiserKinds.size()));
  denoiser.mask_ratio = *rc::gen::element(0.1, 0.15, 0.3, 0.5);
  denoiser.mean_span = *rc::gen::element(3.0, 8.0, 64.0);
  return denoiser;
}

std::vector<TokenId> any_prompt(const Denoiser& denoiser) {
  if (denoiser.kind == DenoiserKind::causal) return {};
  return std::vector<TokenId>(*rc::gen::inRange<std::size_t>(0, 8), 17);
}

/// Ids of random documents, with few or many distinct ids, with or without eos between documents.
Segment any_segment(int length) {
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::generation, 0);
  const std::uint64_t kinds = 1 + rng.below(255'000);
  const bool separated = rng.below(2) == 1;
  Segment segment;
  for (int i = 0; i < length; ++i) {
    const bool ends = separated && rng.below(50) == 0;
    segment.tokens.push_back(ends ? kIds.eos : static_cast<TokenId>(2 + rng.below(kinds)));
  }
  return segment;
}

void restores_every_token_of_layout_full() {
  const Denoiser denoiser = any_denoiser();
  const int row_length = *rc::gen::inRange(64, 1200);
  const SegmentToExample denoise(denoiser, any_prompt(denoiser), kIds, row_length);
  const Segment segment = any_segment(denoise.raw_length());
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  const Example example = denoise(segment, rng);
  RC_ASSERT(denoise.restore(example) == segment.tokens);
  RC_ASSERT(example.trimmed == 0U);
  const int length = static_cast<int>(example.inputs.size() + example.targets.size());
  RC_ASSERT(length <= row_length && length >= row_length - 2);
  RC_ASSERT(length == denoise.longest_example() && length == denoise.shortest_example());
}

/// The segment without its trimmed tokens: found by corrupting it again with room for everything, each token replaced
/// by its index.
std::vector<TokenId> without_trimmed(const Denoiser& denoiser, std::size_t prompt, const FeatureLengths& lengths,
                                     const Example& places_of_all, const Segment& segment) {
  std::vector<TokenId> places;
  const auto keep = [&](const std::vector<TokenId>& ids, std::size_t skip, int limit) {
    const auto end = std::min(ids.size() - 1, static_cast<std::size_t>(limit - 1) - skip);
    for (std::size_t i = 0; i < end; ++i)
      if (ids[i] < kIds.first_sentinel - kIds.sentinels) places.push_back(ids[i]);
  };
  if (denoiser.kind != DenoiserKind::causal) keep(places_of_all.inputs, prompt, lengths.inputs);
  keep(places_of_all.targets, 0, lengths.targets);
  std::ranges::sort(places);
  std::vector<TokenId> kept;
  for (const TokenId place : places) kept.push_back(segment.tokens[static_cast<std::size_t>(place)]);
  return kept;
}

void restores_all_but_what_layout_openmoe_trims() {
  const Denoiser denoiser = any_denoiser();
  const std::vector<TokenId> prompt = any_prompt(denoiser);
  // Targets from far too short to too long, inputs always long enough for the spans.
  const FeatureLengths lengths{*rc::gen::inRange(64, 700), *rc::gen::inRange(8, 1500)};
  const SegmentToExample denoise(denoiser, prompt, kIds, lengths);
  const Segment segment = any_segment(denoise.raw_length());
  const auto item = *rc::gen::arbitrary<std::uint64_t>();
  ItemRng rng(1, Purpose::span_lengths, item);
  const Example example = denoise(segment, rng);
  RC_ASSERT(static_cast<int>(example.inputs.size()) <= lengths.inputs);
  RC_ASSERT(static_cast<int>(example.targets.size()) <= lengths.targets);
  const int length = static_cast<int>(example.inputs.size() + example.targets.size());
  RC_ASSERT(length == denoise.example_length(ItemRng(1, Purpose::span_lengths, item)));
  RC_ASSERT(denoise.shortest_example() <= length && length <= denoise.longest_example());
  const std::vector<TokenId> restored = denoise.restore(example);
  RC_ASSERT(restored.size() + example.trimmed == segment.tokens.size());

  // The same draws and raw length, with more room: a segment of indexes, with spans at the same places as in `example`.
  std::vector<TokenId> expected(segment.tokens.begin(), segment.tokens.end());
  if (denoiser.kind == DenoiserKind::causal) {
    expected.resize(static_cast<std::size_t>(lengths.targets) - 1);
  } else {
    const SegmentToExample roomy(denoiser, {}, kIds, FeatureLengths{lengths.inputs, 4096});
    Segment places;
    for (int i = 0; i < denoise.raw_length(); ++i) places.tokens.push_back(i);
    ItemRng same(1, Purpose::span_lengths, item);
    const Example all = roomy(places, same);
    RC_ASSERT(all.trimmed == 0U);
    expected = without_trimmed(denoiser, prompt.size(), lengths, all, segment);
  }
  RC_ASSERT(restored == expected);
}

TEST(Inverse, RestoresEveryTokenOfLayoutFull) {
  expect_holds(kQuickCases, restores_every_token_of_layout_full);
}
TEST(Inverse, RestoresEveryTokenOfLayoutFullLong) {
  expect_holds(kLongCases, restores_every_token_of_layout_full);
}
TEST(Inverse, RestoresAllButWhatLayoutOpenMoeTrims) {
  expect_holds(kQuickCases, restores_all_but_what_layout_openmoe_trims);
}
TEST(Inverse, RestoresAllButWhatLayoutOpenMoeTrimsLong) {
  expect_holds(kLongCases, restores_all_but_what_layout_openmoe_trims);
}

}  // namespace
}  // namespace millrace
