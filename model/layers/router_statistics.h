#pragma once

#include <cstdint>
#include <vector>

namespace millrace {

/// What one MoE layer's router did with one micro-batch.
struct RouterStatistics {
  double aux_loss = 0;       ///< Load-balance loss, unweighted; balanced value = k (flaxformer routing.py).
  double z_loss = 0;         ///< Unweighted.
  double entropy = 0;        ///< Mean over tokens, nats.
  double dropped = 0;        ///< Share of (token, choice) pairs over capacity.
  std::int64_t kept = 0;     ///< Pairs within capacity.
  std::vector<double> load;  ///< (E) share of (token, choice) pairs per expert, before capacity.
  /// (T) (token, choice) pairs of each position in the row, and those of them over capacity: counts over the rows of
  /// the micro-batch. Padding does not count: its position in the row is not a position in text.
  std::vector<std::int64_t> pairs_at, dropped_at;
};

}  // namespace millrace
