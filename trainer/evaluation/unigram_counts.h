#pragma once

#include <cstdint>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// How often each id was a label whose loss counts, over the steps done so far.
/// The unigram loss on held-out tokens is the bound that a model must beat to have learned more than token frequencies.
class UnigramCounts {
 public:
  explicit UnigramCounts(int vocab_size);

  void add(const Row& row);
  /// -ln p(id) with add-one smoothing over the whole vocabulary: p = (count + 1) / (total + vocab_size).
  /// Before any row it is ln(vocab_size).
  double loss(TokenId id) const;

  /// For the checkpoint. set_counts REQUIRES one count per id, as in counts().
  const std::vector<std::int64_t>& counts() const { return counts_; }
  void set_counts(std::vector<std::int64_t> counts);

 private:
  std::vector<std::int64_t> counts_;
  std::int64_t total_ = 0;
};

}  // namespace millrace
