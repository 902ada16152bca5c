#pragma once

#include <cstdint>
#include <vector>

#include "trainer/distributed/process_grid.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// Peak memory of one rank in bytes, of a run that saves while it trains.
struct RankMemory {
  int rank = 0;
  MemoryPlan plan;
  std::uint64_t lanes = 0;  ///< Of plan.gradients: what lanes keep beside the gradient itself.

  /// Of what the rank computes with: its card's memory, or all.
  std::uint64_t needed() const { return plan.on_card ? plan.card() : plan.total(); }
};

/// Of rank 0, of the next replica's rank where there is one, and of the first rank of each further stage; `question` is
/// the run's, as one process would ask it. Every rank has all of its stage's values and gradients (of experts' tensors,
/// its experts'), the optimizer's state of what it owns (trainer/ranked/ownership.h), the rows of its micro-batches,
/// and as many micro-batches in work as there are stages from its own on. Rank 0 has the data, too, all rows of a step,
/// room for the state of all. Each has a copy of the tensors that it saves; of ranks other than 0, what the one that
/// saves most has.
std::vector<RankMemory> memory_of_ranks(const MemoryQuestion& question, const ProcessGrid& grid);

/// The one of a rank, or of one like it: ranks of a stage differ by what they own, which is little.
const RankMemory& memory_of_rank(const std::vector<RankMemory>& memories, const ProcessGrid& grid, int rank);

/// Of the rank that takes most.
const RankMemory& largest_memory(const std::vector<RankMemory>& memories);

}  // namespace millrace
