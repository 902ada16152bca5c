#pragma once

#include <cstddef>
#include <functional>

#include "model/transformer/transformer.h"

namespace millrace {

/// Batches of an evaluation, which whoever scores them asks for when it needs them.
struct ScoredBatches {
  std::size_t count = 0;
  /// The rows of one; in order, but one may be asked for twice. Valid until the next is asked for.
  std::function<TokenBatch(std::size_t)> rows;
  /// What one gave; called once for each, in order, with its rows.
  std::function<void(std::size_t, const TokenBatch&, const TokenScores&)> done;
};

/// One after the other.
inline void score_batches(Transformer& model, const ScoredBatches& batches) {
  for (std::size_t i = 0; i < batches.count; ++i) {
    const TokenBatch rows = batches.rows(i);
    batches.done(i, rows, model.score(rows));
  }
}

}  // namespace millrace
