#pragma once

#include <cstdint>
#include <vector>

#include "model/pass/token_batch.h"

namespace millrace {

/// Metadata of a micro-batch for the layers. One entry per position, row after row (N = B * T).
struct BatchLayout {
  int rows = 0;                         ///< B
  int length = 0;                       ///< T
  std::vector<std::int32_t> position;   ///< Position id for RoPE.
  std::vector<std::int32_t> first_key;  ///< Attends to first_key .. itself in its row; to nothing if that is larger.
  std::vector<std::uint8_t> real;       ///< 0 for padding: its normed activations are zero.

  std::int64_t size() const { return static_cast<std::int64_t>(rows) * length; }
};

/// Padding is segment 0; where no segment ids are given, input id 0 not followed by a non-zero input in its row (so a
/// leading 0 is real).
/// REQUIRES: equal segment ids are contiguous.
void describe(const TokenBatch& batch, BatchLayout& layout);

}  // namespace millrace
