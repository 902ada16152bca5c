#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters/parameter_spec.h"
#include "trainer/distributed/process_grid.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// Peak memory of one rank in bytes.
struct RankMemory {
  MemoryPlan plan;
  std::uint64_t exchange = 0;  ///< Buffers of what is on its way to and from other ranks.

  /// Of what the rank computes with: its card's memory, or all.
  std::uint64_t needed() const { return plan.on_card ? plan.card() : plan.total() + exchange; }
};

/// Of the rank that takes most in a grid; `question` is the run's, as one process would ask it. Every rank has all of
/// its stage's values and gradients (of experts' tensors, its experts'), the optimizer's state of what it owns
/// (trainer/ranked/ownership.h), and as many micro-batches in work as there are stages from its own on. Rank 0 has
/// the data, too, room for the state of all, and the copy that is saved, of everything.
RankMemory rank_memory(const MemoryQuestion& question, const ProcessGrid& grid, const std::vector<LayerRange>& stages);

}  // namespace millrace
