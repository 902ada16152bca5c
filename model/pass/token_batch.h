#pragma once

#include <cstdint>

namespace millrace {

/// B rows of T positions; views, row-major (B, T). Not owned. Without segment ids a trailing run of
/// token 0 in a row is padding.
struct TokenBatch {
  int rows = 0;    ///< B
  int length = 0;  ///< T
  const std::int32_t* tokens = nullptr;
  const std::int32_t* labels = nullptr;  ///< May be null where no loss is asked for.
  const float* loss_weights = nullptr;   ///< Likewise.
  /// Null: one segment a row. Attention stays within a segment; 0 is padding; equal ids of a row stand together.
  const std::int32_t* segment_ids = nullptr;
  const std::int32_t* positions = nullptr;  ///< Null: 0 .. T-1.
  double loss_divisor = 0;                  ///< What the cross-entropy is divided by; 0: the sum of the loss weights.
  /// What is dropped in training is a function of the run's seed, the step, and a row's number in the step.
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t first_row = 0;  ///< Number of the first row.
};

enum class Mode : std::uint8_t { train, eval };  ///< Chooses the capacity factor.

}  // namespace millrace
