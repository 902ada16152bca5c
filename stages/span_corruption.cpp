#include "stages/span_corruption.h"

#include <algorithm>
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
  const int gaps = items - 1;
  std::vector<bool> cut(static_cast<std::size_t>(gaps), false);
  for (int last = gaps - (parts - 1); last < gaps; ++last) {
    const auto gap = static_cast<std::size_t>(rng.below(static_cast<std::uint64_t>(last) + 1));
    cut[cut[gap] ? static_cast<std::size_t>(last) : gap] = true;
  }
  std::vector<int> lengths;
  lengths.reserve(static_cast<std::size_t>(parts));
  int length = 1;
  for (const bool ends_here : cut) {
    if (ends_here) {
      lengths.push_back(length);
      length = 0;
    }
    ++length;
  }
  lengths.push_back(length);
  return lengths;
}

SpanMask random_span_mask(int n, double mask_ratio, double mean_span, ItemRng& rng) {
  const auto [noise, spans] = noise_counts(n, mask_ratio, mean_span);
  SpanMask mask;
  mask.noise = random_composition(noise, spans, rng);
  mask.text = random_composition(n - noise, spans, rng);
  return mask;
}

}  // namespace millrace
