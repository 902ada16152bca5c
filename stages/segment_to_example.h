#pragma once

#include <cstdint>
#include <vector>

#include "stages/denoiser.h"
#include "stages/philox.h"
#include "stages/records.h"

namespace millrace {

class Vocabulary;

/// The ids that rows need beside text: all from the model file.
struct SpecialIds {
  TokenId pad = 0;  ///< Also BOS and filler.
  TokenId eos = 1;
  TokenId first_sentinel = 0;  ///< <extra_id_0>; the j-th is first_sentinel - j.
  int sentinels = 0;
};
SpecialIds special_ids_of(const Vocabulary& vocabulary);

/// A denoiser made ready for a vocabulary and a row length. Immutable; one object serves every thread.
class SegmentToExample {
 public:
  /// Layout "full": the raw length is the largest whose prompt, inputs, targets, sentinels and eos fit a row of
  /// `row_length`. Throws ConfigError if that is impossible or needs more sentinels than there are.
  SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids, int row_length);

  /// Tokens (separators included) that a segment must have.
  int raw_length() const { return raw_length_; }
  /// Positions an example takes: inputs and targets with prompt, sentinels and eos.
  int example_length() const { return length_of(raw_length_); }

  /// span:   inputs  = prompt text0 S0 text1 S1 ... eos    targets = S0 noise0 S1 noise1 ... eos
  /// prefix: inputs  = prompt tokens[:p] eos               targets = tokens[p:] eos, p uniform in [1, n - 1]
  /// causal: inputs  = nothing                             targets = tokens eos
  /// REQUIRES: segment.tokens.size() == raw_length(). `rng` belongs to this example alone.
  Example operator()(const Segment& segment, ItemRng& rng) const;

  /// The raw tokens an example was made from: the inverse of operator().
  std::vector<TokenId> restore(const Example& example) const;

 private:
  int length_of(int raw) const;

  Denoiser denoiser_;
  std::vector<TokenId> prompt_;
  SpecialIds ids_;
  int raw_length_ = 0;
};

}  // namespace millrace
