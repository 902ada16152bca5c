#include "stages/segment_to_example.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "stages/document_to_tokens.h"
#include "stages/errors.h"
#include "stages/span_corruption.h"

namespace millrace {
namespace {

constexpr int kShortestSegment = 2;

Example corrupt_spans(const std::vector<TokenId>& tokens, const SpanMask& mask, const SpecialIds& ids,
                      Example example) {
  auto from = tokens.begin();
  for (std::size_t span = 0; span < mask.noise.size(); ++span) {
    const TokenId sentinel = ids.first_sentinel - static_cast<TokenId>(span);
    example.inputs.insert(example.inputs.end(), from, from + mask.text[span]);
    from += mask.text[span];
    example.inputs.push_back(sentinel);
    example.targets.push_back(sentinel);
    example.targets.insert(example.targets.end(), from, from + mask.noise[span]);
    from += mask.noise[span];
  }
  return example;
}

}  // namespace

SpecialIds special_ids_of(const Vocabulary& vocabulary) {
  return {vocabulary.pad(), vocabulary.eos(), vocabulary.sentinel(0), Vocabulary::kExtraIds};
}

SegmentToExample::SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids,
                                   int row_length)
    : denoiser_(denoiser), prompt_(std::move(prompt)), ids_(ids) {
  if (length_of(kShortestSegment) > row_length)
    throw ConfigError(
        fmt::format("denoiser \"{}\": a row of {} positions has no room for its prompt ({} tokens) and two "
                    "raw tokens; use a longer sequence_length or a shorter prompt",
                    denoiser_.name, row_length, prompt_.size()));
  raw_length_ = kShortestSegment;
  while (length_of(raw_length_ + 1) <= row_length) ++raw_length_;
  if (denoiser_.kind != DenoiserKind::span) return;

  const auto [noise, spans] = noise_counts(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span);
  if (spans > ids_.sentinels) {
    int longest = raw_length_;
    while (noise_counts(longest, denoiser_.mask_ratio, denoiser_.mean_span).spans > ids_.sentinels) --longest;
    throw ConfigError(
        fmt::format("denoiser \"{}\": {} spans at sequence_length {} but the vocabulary has {} sentinels; "
                    "the longest sequence_length that fits is {}",
                    denoiser_.name, spans, row_length, ids_.sentinels, length_of(longest)));
  }
  if (spans > std::min(noise, raw_length_ - noise))
    throw ConfigError(
        fmt::format("denoiser \"{}\": {} spans cannot be laid out among {} noise tokens and {} others; "
                    "use a longer mean_span",
                    denoiser_.name, spans, noise, raw_length_ - noise));
}

int SegmentToExample::length_of(int raw) const {
  if (denoiser_.kind == DenoiserKind::causal) return raw + 1;
  const int framed = static_cast<int>(prompt_.size()) + raw + 2;
  if (denoiser_.kind == DenoiserKind::prefix) return framed;
  return framed + 2 * noise_counts(raw, denoiser_.mask_ratio, denoiser_.mean_span).spans;
}

Example SegmentToExample::operator()(const Segment& segment, ItemRng& rng) const {
  const std::vector<TokenId>& tokens = segment.tokens;
  if (static_cast<int>(tokens.size()) != raw_length_)
    throw std::logic_error(fmt::format("a segment of {} tokens for a denoiser of {}", tokens.size(), raw_length_));
  Example example;
  switch (denoiser_.kind) {
    case DenoiserKind::causal:
      example.targets = tokens;
      example.targets.push_back(ids_.eos);
      return example;
    case DenoiserKind::prefix: {
      const auto split = static_cast<std::ptrdiff_t>(1 + rng.below(tokens.size() - 1));
      example.inputs = prompt_;
      example.inputs.insert(example.inputs.end(), tokens.begin(), tokens.begin() + split);
      example.targets.assign(tokens.begin() + split, tokens.end());
      break;
    }
    case DenoiserKind::span:
      example.inputs = prompt_;
      example = corrupt_spans(tokens, random_span_mask(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span, rng),
                              ids_, std::move(example));
      break;
  }
  example.inputs.push_back(ids_.eos);
  example.targets.push_back(ids_.eos);
  return example;
}

std::vector<TokenId> SegmentToExample::restore(const Example& example) const {
  std::vector<TokenId> tokens;
  const auto targets_end = example.targets.end() - 1;
  if (denoiser_.kind == DenoiserKind::causal) return {example.targets.begin(), targets_end};
  const auto inputs_begin = example.inputs.begin() + static_cast<std::ptrdiff_t>(prompt_.size());
  const auto inputs_end = example.inputs.end() - 1;
  if (denoiser_.kind == DenoiserKind::prefix) {
    tokens.assign(inputs_begin, inputs_end);
    tokens.insert(tokens.end(), example.targets.begin(), targets_end);
    return tokens;
  }
  auto target = example.targets.begin();
  const auto is_sentinel = [this](TokenId id) {
    return id <= ids_.first_sentinel && id > ids_.first_sentinel - ids_.sentinels;
  };
  for (auto input = inputs_begin; input != inputs_end; ++input) {
    if (!is_sentinel(*input)) {
      tokens.push_back(*input);
      continue;
    }
    if (target == targets_end || *target != *input) throw std::logic_error("sentinels of inputs and targets differ");
    for (++target; target != targets_end && !is_sentinel(*target); ++target) tokens.push_back(*target);
  }
  return tokens;
}

}  // namespace millrace
