#pragma once

#include <cstdint>
#include <vector>

namespace millrace {

/// How the next token is drawn from the logits.
struct SamplingOptions {
  double temperature = 1.0;  ///< 0: the most likely token.
  int top_k = 0;             ///< Keep the k most likely; 0: all.
  double top_p = 1.0;        ///< Keep the fewest tokens whose probabilities sum to p.
  std::uint64_t seed = 0;
};

/// Draws a token from the logits of ids 0 .. allowed_ids-1. `draw` numbers the draws of one seed: the same (seed, draw)
/// and logits give the same token. Ties go to the lower id.   REQUIRES: 1 <= allowed_ids <= logits.size()
std::int32_t sample(const std::vector<float>& logits, int allowed_ids, const SamplingOptions& options,
                    std::uint64_t draw);

}  // namespace millrace
