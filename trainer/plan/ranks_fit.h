#pragma once

#include <string>
#include <vector>

#include "trainer/distributed/process_grid.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/plan/memory_plan.h"

namespace millrace {

/// Fills in what memory there is for this rank.
void add_memory(RankFacts& mine);

/// Why the ranks of a grid have too little memory: what they take by part, what those of each machine take together and
/// what it has, and what would fit. Empty: they have enough. `question` is the run's, as one process would ask it.
std::string fault_of_memory(const MemoryQuestion& question, const ProcessGrid& grid, const std::vector<RankFacts>& all);

}  // namespace millrace
