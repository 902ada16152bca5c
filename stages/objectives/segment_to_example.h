#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "stages/objectives/objective.h"
#include "stages/philox.h"
#include "stages/records.h"

namespace millrace {

class Vocabulary;

/// The special ids that rows need; all from the model file.
struct SpecialIds {
  TokenId pad = 0;  ///< Also BOS and filler.
  TokenId eos = 1;
  TokenId first_sentinel = 0;  ///< <extra_id_0>; the j-th is first_sentinel - j.
  int sentinels = 0;
};
SpecialIds special_ids_of(const Vocabulary& vocabulary);

/// A denoiser prepared for a vocabulary and a row length. Immutable; one object serves every thread.
class SegmentToExample {
 public:
  /// Layout "full": the raw length is the largest whose prompt, inputs, targets, sentinels and eos fit a row of
  /// `row_length`. Throws ConfigError if that is impossible or needs more sentinels than there are.
  SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids, int row_length);
  /// Layout "openmoe" (T5's preprocessors.ul2_objective; docs/objectives.md). Raw length: span: T5's
  /// random_spans_helper of lengths.inputs; prefix: lengths.inputs - 1; causal: lengths.targets. Throws ConfigError
  /// likewise.
  SegmentToExample(const Denoiser& denoiser, std::vector<TokenId> prompt, const SpecialIds& ids,
                   const FeatureLengths& lengths);

  /// Tokens (separators included) that a segment must have.
  int raw_length() const { return raw_length_; }
  /// Positions that the example of this `rng` takes: inputs and targets with prompt, sentinels and eos.
  int example_length(ItemRng rng) const;
  /// Its minimum and maximum over all draws.
  int shortest_example() const;
  int longest_example() const;

  /// span:   inputs  = prompt text0 S0 text1 S1 ... eos    targets = S0 noise0 S1 noise1 ... eos
  /// prefix: inputs  = prompt tokens[:p] eos               targets = tokens[p:] eos, p uniform in [1, n - 1]
  /// causal: inputs  = nothing                             targets = tokens eos
  /// In layout "openmoe" inputs and targets are each trimmed to their length less 1 before eos is appended, as in
  /// SeqIO's append_eos_after_trim: a prompt pushes tokens and sentinels off the inputs, and a causal example always
  /// loses its last token. Tokens that are cut off are counted in Example::trimmed. REQUIRES: segment.tokens.size() ==
  /// raw_length(). `rng` belongs to this example alone.
  Example operator()(const Segment& segment, ItemRng& rng) const;

  /// The raw tokens an example was made from, without those that were trimmed: the inverse of operator().
  std::vector<TokenId> restore(const Example& example) const;

 private:
  void check_spans() const;
  int untrimmed_length(int raw) const;
  int prefix_length(int split) const;
  void end_with_eos(std::vector<TokenId>& ids, std::size_t limit, Example& example) const;
  bool is_sentinel(TokenId id) const;

  Denoiser denoiser_;
  std::vector<TokenId> prompt_;
  SpecialIds ids_;
  int max_inputs_ = std::numeric_limits<int>::max();  ///< Ids before eos.
  int max_targets_ = std::numeric_limits<int>::max();
  int raw_length_ = 0;
};

}  // namespace millrace
