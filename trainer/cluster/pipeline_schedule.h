#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

/// One thing that a stage does: a pass over one micro-batch.
struct StageAction {
  enum class Pass : std::uint8_t { forward, backward };
  Pass pass = Pass::forward;
  std::size_t micro_batch = 0;

  bool operator==(const StageAction&) const = default;
};

/// What stage `stage` of `stages` does in a step of so many micro-batches, in order: one forward, one backward
/// (PipeDream-Flush: Narayanan et al., arXiv 2104.04473, 2.2). It runs as many forward passes ahead as there are stages
/// from here to the end, then a backward pass before each further forward one, then the backward passes that are left.
/// Backward passes come in the order of the micro-batches, so that gradients add up as on one stage. A pure function.
/// REQUIRES: stage < stages.
std::vector<StageAction> pipeline_schedule(std::size_t stage, std::size_t stages, std::size_t micro_batches);

/// How many micro-batches are between their two passes at once, at most: what activations need memory for.
std::size_t most_in_work(std::size_t stage, std::size_t stages, std::size_t micro_batches);

/// The share of a step's time in which a stage waits, if all passes take equally long: (P - 1) / (M + P - 1).
double bubble_share(std::size_t stages, std::size_t micro_batches);

}  // namespace millrace
