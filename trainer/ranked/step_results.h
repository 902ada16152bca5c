#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/transformer/transformer.h"

namespace millrace {

/// What a micro-batch gave.
struct MicroBatchResult {
  Losses losses;
  TokenScores scores;
};

/// What a rank tells rank 0 of its micro-batches in a step.
struct StepResults {
  bool is_stopped = false;  ///< A stop was requested there: nothing else counts.
  double seconds = 0;       ///< Of computing.
  std::vector<MicroBatchResult> micro_batches;
};

std::vector<std::byte> bytes_of_results(const StepResults& results);
StepResults results_in(std::span<const std::byte> bytes);

}  // namespace millrace
