#include "stages/objectives/segment_to_example.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/objectives/span_corruption.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

constexpr int kShortestSegment = 2;

int split_of(int raw_length, ItemRng& rng) {
  return static_cast<int>(1 + rng.below(static_cast<std::uint64_t>(raw_length) - 1));
}

/// Appends text0 S0 text1 S1 ... to the inputs and S0 noise0 S1 noise1 ... to the targets.
void corrupt_spans(const std::vector<TokenId>& tokens, const SpanMask& mask, TokenId first_sentinel, Example& example) {
  const std::size_t prompt = example.inputs.size();
  std::size_t noise = 0;
  for (const int length : mask.noise) noise += static_cast<std::size_t>(length);
  example.inputs.reserve(prompt + tokens.size() - noise + mask.noise.size() + 1);
  example.inputs.resize(prompt + tokens.size() - noise + mask.noise.size());
  example.targets.reserve(noise + mask.noise.size() + 1);
  example.targets.resize(noise + mask.noise.size());
  const TokenId* from = tokens.data();
  TokenId* input = example.inputs.data() + prompt;
  TokenId* target = example.targets.data();
  TokenId sentinel = first_sentinel;
  for (std::size_t span = 0; span < mask.noise.size(); ++span, --sentinel) {
    input = std::copy_n(from, mask.text[span], input);
    from += mask.text[span];
    *input++ = sentinel;
    *target++ = sentinel;
    target = std::copy_n(from, mask.noise[span], target);
    from += mask.noise[span];
  }
}

}  // namespace

SpecialIds special_ids_of(const Vocabulary& vocabulary) {
  return {vocabulary.pad(), vocabulary.eos(), vocabulary.sentinel(0), Vocabulary::kExtraIds};
}

SegmentToExample::SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids,
                                   int row_length)
    : denoiser_(denoiser), prompt_(std::move(prompt)), ids_(ids) {
  if (untrimmed_length(kShortestSegment) > row_length)
    throw ConfigError(
        fmt::format("denoiser \"{}\": a row of {} positions has no room for its prompt ({} tokens) and two "
                    "raw tokens; use a longer sequence_length or a shorter prompt",
                    denoiser_.name, row_length, prompt_.size()));
  raw_length_ = kShortestSegment;
  while (untrimmed_length(raw_length_ + 1) <= row_length) ++raw_length_;
  if (denoiser_.kind != DenoiserKind::span) return;
  const int spans = noise_counts(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span).spans;
  if (spans > ids_.sentinels) {
    int longest = raw_length_;
    while (noise_counts(longest, denoiser_.mask_ratio, denoiser_.mean_span).spans > ids_.sentinels) --longest;
    throw ConfigError(
        fmt::format("denoiser \"{}\": {} spans at sequence_length {} but the vocabulary has {} sentinels; "
                    "the longest sequence_length that fits is {}",
                    denoiser_.name, spans, row_length, ids_.sentinels, untrimmed_length(longest)));
  }
  check_spans();
}

SegmentToExample::SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids,
                                   const FeatureLengths& lengths)
    : denoiser_(denoiser),
      prompt_(std::move(prompt)),
      ids_(ids),
      max_inputs_(lengths.inputs - 1),
      max_targets_(lengths.targets - 1) {
  const bool causal = denoiser_.kind == DenoiserKind::causal;
  const int room = causal ? max_targets_ : std::min(max_inputs_ - static_cast<int>(prompt_.size()), max_targets_);
  if (room < kShortestSegment)
    throw ConfigError(
        fmt::format("denoiser \"{}\": inputs of {} and targets of {} have no room for its prompt ({} tokens), two raw "
                    "tokens and eos; raise the objective's inputs and targets",
                    denoiser_.name, lengths.inputs, lengths.targets, prompt_.size()));
  if (causal) {
    raw_length_ = lengths.targets;
    return;
  }
  if (denoiser_.kind == DenoiserKind::prefix) {
    raw_length_ = lengths.inputs - 1;
    return;
  }
  const auto raw_of = [this](int inputs) {
    return openmoe_span_lengths(inputs, denoiser_.mask_ratio, denoiser_.mean_span).raw;
  };
  const auto spans_of = [this](int raw) { return noise_counts(raw, denoiser_.mask_ratio, denoiser_.mean_span).spans; };
  raw_length_ = raw_of(lengths.inputs);
  if (spans_of(raw_length_) > ids_.sentinels) {
    int longest = lengths.inputs;
    while (spans_of(raw_of(longest)) > ids_.sentinels) --longest;
    throw ConfigError(
        fmt::format("denoiser \"{}\": {} spans for inputs of {} but the vocabulary has {} sentinels; "
                    "the longest inputs that fit are {}",
                    denoiser_.name, spans_of(raw_length_), lengths.inputs, ids_.sentinels, longest));
  }
  check_spans();
}

void SegmentToExample::check_spans() const {
  const auto [noise, spans] = noise_counts(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span);
  if (spans > std::min(noise, raw_length_ - noise))
    throw ConfigError(
        fmt::format("denoiser \"{}\": {} spans cannot be laid out among {} noise tokens and {} others; "
                    "use a longer mean_span",
                    denoiser_.name, spans, noise, raw_length_ - noise));
}

/// Of layout "full".
int SegmentToExample::untrimmed_length(int raw) const {
  if (denoiser_.kind == DenoiserKind::causal) return raw + 1;
  const int framed = static_cast<int>(prompt_.size()) + raw + 2;
  if (denoiser_.kind == DenoiserKind::prefix) return framed;
  return framed + 2 * noise_counts(raw, denoiser_.mask_ratio, denoiser_.mean_span).spans;
}

int SegmentToExample::prefix_length(int split) const {
  return std::min(static_cast<int>(prompt_.size()) + split, max_inputs_) + std::min(raw_length_ - split, max_targets_) +
         2;
}

int SegmentToExample::example_length(ItemRng rng) const {
  return denoiser_.kind == DenoiserKind::prefix ? prefix_length(split_of(raw_length_, rng)) : longest_example();
}

int SegmentToExample::shortest_example() const {
  // A split near either end puts more tokens into one feature than it holds.
  return denoiser_.kind == DenoiserKind::prefix ? std::min(prefix_length(1), prefix_length(raw_length_ - 1))
                                                : longest_example();
}

int SegmentToExample::longest_example() const {
  switch (denoiser_.kind) {
    case DenoiserKind::causal:
      return std::min(raw_length_, max_targets_) + 1;
    case DenoiserKind::prefix: {
      const int fewest_targets = std::min(raw_length_ - 1, max_targets_);
      return prefix_length(raw_length_ - fewest_targets);
    }
    case DenoiserKind::span:
      break;
  }
  const auto [noise, spans] = noise_counts(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span);
  return std::min(static_cast<int>(prompt_.size()) + raw_length_ - noise + spans, max_inputs_) +
         std::min(noise + spans, max_targets_) + 2;
}

bool SegmentToExample::is_sentinel(TokenId id) const {
  return id <= ids_.first_sentinel && id > ids_.first_sentinel - ids_.sentinels;
}

void SegmentToExample::end_with_eos(std::vector<TokenId>& ids, std::size_t limit, Example& example) const {
  if (ids.size() > limit) {
    const auto cut = ids.begin() + static_cast<std::ptrdiff_t>(limit);
    example.trimmed +=
        static_cast<std::uint64_t>(std::count_if(cut, ids.end(), [this](TokenId id) { return !is_sentinel(id); }));
    ids.erase(cut, ids.end());
  }
  ids.push_back(ids_.eos);
}

Example SegmentToExample::operator()(const Segment& segment, ItemRng& rng) const {
  const std::vector<TokenId>& tokens = segment.tokens;
  if (static_cast<int>(tokens.size()) != raw_length_)
    throw std::logic_error(fmt::format("a segment of {} tokens for a denoiser of {}", tokens.size(), raw_length_));
  Example example;
  if (denoiser_.kind == DenoiserKind::causal) {
    example.targets.reserve(tokens.size() + 1);
    example.targets = tokens;
    end_with_eos(example.targets, static_cast<std::size_t>(max_targets_), example);
    for (const DocumentSpan& document : segment.documents) {
      if (document.at > 0 && document.at + 1 < example.targets.size())
        example.document_starts.push_back(static_cast<std::uint32_t>(document.at));
    }
    return example;
  }
  example.inputs = prompt_;
  if (denoiser_.kind == DenoiserKind::prefix) {
    const auto split = tokens.begin() + split_of(raw_length_, rng);
    example.inputs.reserve(prompt_.size() + tokens.size() + 1);
    example.inputs.insert(example.inputs.end(), tokens.begin(), split);
    example.targets.reserve(tokens.size() + 1);
    example.targets.assign(split, tokens.end());
  } else {
    corrupt_spans(tokens, random_span_mask(raw_length_, denoiser_.mask_ratio, denoiser_.mean_span, rng),
                  ids_.first_sentinel, example);
  }
  end_with_eos(example.inputs, static_cast<std::size_t>(max_inputs_), example);
  end_with_eos(example.targets, static_cast<std::size_t>(max_targets_), example);
  return example;
}

std::vector<TokenId> SegmentToExample::restore(const Example& example) const {
  const auto targets_end = example.targets.end() - 1;
  if (denoiser_.kind == DenoiserKind::causal) return {example.targets.begin(), targets_end};
  const auto inputs_begin = example.inputs.begin() + static_cast<std::ptrdiff_t>(prompt_.size());
  const auto inputs_end = example.inputs.end() - 1;
  std::vector<TokenId> tokens;
  auto target = example.targets.begin();
  for (auto input = inputs_begin; input != inputs_end; ++input) {
    if (!is_sentinel(*input)) {
      tokens.push_back(*input);
      continue;
    }
    if (target == targets_end) continue;  // Its noise was trimmed.
    if (*target != *input) throw std::logic_error("sentinels of inputs and targets differ");
    for (++target; target != targets_end && !is_sentinel(*target); ++target) tokens.push_back(*target);
  }
  // What follows the inputs: the rest of a prefix example, or noise whose sentinels were trimmed.
  for (; target != targets_end; ++target)
    if (!is_sentinel(*target)) tokens.push_back(*target);
  return tokens;
}

}  // namespace millrace
