#include "stages/objectives/span_corruption.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace millrace {
namespace {

/// Half to even: the default rounding mode, which nothing in this program changes.
int rounded(float value) {
  return static_cast<int>(std::nearbyint(value));
}

struct InputsAndTargets {
  int inputs;
  int targets;
};

InputsAndTargets lengths_with_eos(int raw, double mask_ratio, double mean_span) {
  const int noise = rounded(static_cast<float>(raw) * static_cast<float>(mask_ratio));
  const int spans = rounded(static_cast<float>(noise) / static_cast<float>(mean_span));
  return {raw - noise + spans + 1, noise + spans + 1};
}

}  // namespace

NoiseCounts noise_counts(int n, double mask_ratio, double mean_span) {
  const int noise = std::clamp(rounded(static_cast<float>(n) * static_cast<float>(mask_ratio)), 1, n - 1);
  const int spans = std::max(rounded(static_cast<float>(noise) / static_cast<float>(mean_span)), 1);
  return {noise, spans};
}

SpanLengths openmoe_span_lengths(int inputs_length, double mask_ratio, double mean_span) {
  int raw = inputs_length - 1;
  while (lengths_with_eos(raw + 1, mask_ratio, mean_span).inputs <= inputs_length) ++raw;
  auto [inputs, targets] = lengths_with_eos(raw, mask_ratio, mean_span);
  if (mask_ratio == 0.5 && targets > inputs) return {raw - 1, targets - 1};
  return {raw, targets};
}

std::vector<int> random_composition(int items, int parts, ItemRng& rng) {
  // A composition is a choice of parts - 1 of the items - 1 gaps (Floyd's sampling: one draw a cut).
  constexpr std::size_t kWord = 64;
  const auto gaps = static_cast<std::uint32_t>(items - 1);
  std::vector<std::uint64_t> cuts(gaps / kWord + 1, 0);
  const auto bit = [](std::size_t gap) { return std::uint64_t{1} << gap % kWord; };
  for (std::uint32_t last = gaps - static_cast<std::uint32_t>(parts - 1); last < gaps; ++last) {
    const auto drawn = static_cast<std::size_t>(rng.below(std::uint64_t{last} + 1));
    const std::size_t gap = (cuts[drawn / kWord] & bit(drawn)) != 0 ? last : drawn;
    cuts[gap / kWord] |= bit(gap);
  }
  std::vector<int> lengths;
  lengths.reserve(static_cast<std::size_t>(parts));
  int begun = 0;  // Items before the piece.
  for (std::size_t word = 0; word < cuts.size(); ++word) {
    for (std::uint64_t left = cuts[word]; left != 0; left &= left - 1) {
      const int end = static_cast<int>(word * kWord) + std::countr_zero(left) + 1;
      lengths.push_back(end - begun);
      begun = end;
    }
  }
  lengths.push_back(items - begun);
  return lengths;
}

std::vector<double> piece_length_law(int items, int parts) {
  const int longest = items - parts + 1;
  std::vector<double> law(static_cast<std::size_t>(longest), 0);
  if (parts == 1) {
    law.back() = 1;
    return law;
  }
  double probability = static_cast<double>(parts - 1) / (items - 1);
  for (int length = 1; length <= longest; ++length) {
    law[static_cast<std::size_t>(length) - 1] = probability;
    if (length < longest) probability *= static_cast<double>(longest - length) / (items - length - 1);
  }
  return law;
}

SpanMask random_span_mask(int n, double mask_ratio, double mean_span, ItemRng& rng) {
  const auto [noise, spans] = noise_counts(n, mask_ratio, mean_span);
  SpanMask mask;
  mask.noise = random_composition(noise, spans, rng);
  mask.text = random_composition(n - noise, spans, rng);
  return mask;
}

}  // namespace millrace
