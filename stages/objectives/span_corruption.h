#pragma once

#include <cstdint>
#include <vector>

#include "stages/philox.h"
#include "stages/records.h"

namespace millrace {

/// The arithmetic of T5's span corruption, as pure functions (T5's preprocessors.random_spans_*).

/// How many tokens of a segment are noise, and in how many spans.
struct NoiseCounts {
  int noise = 0;
  int spans = 0;
  bool operator==(const NoiseCounts&) const = default;
};

/// n raw tokens, mask ratio r, mean span mu: noise = clamp(round(n r), 1, n - 1), spans = max(round(noise / mu), 1),
/// products and quotients in float32, rounded half to even. REQUIRES: n >= 2, 0 < r < 1, mu >= 1.
NoiseCounts noise_counts(int n, double mask_ratio, double mean_span);

/// T5's random_spans_helper: how many raw tokens give `inputs_length` inputs (eos counted), and the targets' length.
struct SpanLengths {
  int raw = 0;
  int targets = 0;
};
SpanLengths openmoe_span_lengths(int inputs_length, double mask_ratio, double mean_span);

/// Splits `items` into `parts` non-empty pieces, every composition equally likely; returns their lengths. REQUIRES: 1
/// <= parts <= items.
std::vector<int> random_composition(int items, int parts, ItemRng& rng);

/// The length distribution of one such piece: entry l - 1 is the probability of length l, C(items - l - 1, parts - 2) /
/// C(items - 1, parts - 1). REQUIRES: 1 <= parts <= items.
std::vector<double> piece_length_law(int items, int parts);

/// A mask as run lengths: text[0] noise[0] text[1] noise[1] ...: starts with text, ends with noise.
struct SpanMask {
  std::vector<int> text;
  std::vector<int> noise;
};
/// A mask with exactly noise_counts(); the two compositions are drawn uniformly and independently.
SpanMask random_span_mask(int n, double mask_ratio, double mean_span, ItemRng& rng);

}  // namespace millrace
