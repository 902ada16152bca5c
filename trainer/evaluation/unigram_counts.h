#pragma once

#include <cstdint>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// How often each id was to be predicted so far: the labels whose loss counts, of the steps that were taken.
/// Its loss on held-out tokens is the bound that a model must beat to have learned more than word frequencies.
class UnigramCounts {
 public:
  explicit UnigramCounts(int vocab_size);

  void add(const Row& row);
  /// -ln p(id) with add-one smoothing over the whole vocabulary: p = (count + 1) / (total + vocab_size).
  /// Before any row it is ln(vocab_size).
  double loss(TokenId id) const;

  /// For the checkpoint; set_counts REQUIRES as many as before.
  const std::vector<std::int64_t>& counts() const { return counts_; }
  void set_counts(std::vector<std::int64_t> counts);

 private:
  std::vector<std::int64_t> counts_;
  std::int64_t total_ = 0;
};

}  // namespace millrace
