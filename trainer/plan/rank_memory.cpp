#include "trainer/plan/rank_memory.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>

#include "model/bf16.h"
#include "trainer/plan/optimizer_memory.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/ownership.h"
#include "trainer/ranked/rank_groups.h"

namespace millrace {
namespace {

/// Numbers of a rank.
struct Numbers {
  std::uint64_t shared = 0;
  std::uint64_t experts = 0;
  std::uint64_t all() const { return shared + experts; }
};

/// Gradients of all, and what lanes keep beside them (LaneSums).
std::uint64_t gradients(const TrainConfig& train, const ProcessGrid& grid, const Numbers& numbers) {
  const auto lanes = static_cast<unsigned>(std::max(train.lanes / grid.data, 1));
  const int sub_lanes = std::max(train.expert_lanes / grid.expert, 1);
  const auto whole = static_cast<std::uint64_t>(std::bit_width(lanes));
  return sizeof(float) * (numbers.all() * whole + numbers.shared * static_cast<std::uint64_t>(sub_lanes - 1));
}

/// What add_up_shares() has in its hands: of two rounds what goes to each owner and what comes for this one.
std::uint64_t exchange_bytes(const std::vector<ParameterSpec>& specs,
                             const std::vector<std::vector<ParameterPart>>& owners, std::size_t own) {
  if (owners.size() == 1) return 0;
  const auto most = static_cast<std::uint64_t>(numbers_of_a_bucket(owners.size()));
  std::uint64_t numbers = 0;
  std::uint64_t longest = 0;
  for (const std::vector<ParameterPart>& parts : owners) {
    const auto size = static_cast<std::uint64_t>(size_of(parts, specs));
    numbers += std::min(most, size);
    longest = std::max(longest, size);
  }
  numbers += owners.size() * std::min(most, static_cast<std::uint64_t>(size_of(owners[own], specs)));
  return numbers * sizeof(float) * (longest > most ? 2 : 1);
}

/// Of the groups that a rank is in.
RankMemory memory_of(int rank, const MemoryQuestion& question, const ProcessGrid& grid,
                     const std::vector<RankGroup>& groups) {
  const TrainConfig& train = question.train;
  RankMemory memory;
  Numbers numbers;
  for (const RankGroup& group : groups) {
    const auto member = std::ranges::find(group.ranks, rank);
    if (member == group.ranks.end()) continue;
    for (const ParameterSpec& spec : group.specs)
      (spec.per_expert ? numbers.experts : numbers.shared) += static_cast<std::uint64_t>(spec.size());
    const auto owners = ownership(group.specs, static_cast<int>(group.ranks.size()));
    const auto own = static_cast<std::size_t>(member - group.ranks.begin());
    const OptimizerMemory optimizer = optimizer_memory(train, group.specs, owners[own]);
    memory.plan.optimizer += optimizer.state + optimizer.scratch;
    memory.exchange = std::max(memory.exchange, exchange_bytes(group.specs, owners, own));
  }
  memory.plan.weights = numbers.all() * (sizeof(float) + (train.precision == "bf16" ? sizeof(Bf16) : 0));
  memory.plan.gradients = gradients(train, grid, numbers);
  return memory;
}

}  // namespace

RankMemory rank_memory(const MemoryQuestion& question, const ProcessGrid& grid, const std::vector<LayerRange>& stages) {
  const MemoryPlan alone = plan_memory(question);
  const std::vector<RankGroup> groups = rank_groups(grid, question.model, stages);
  const int of_replica = question.train.batch_rows / question.train.micro_rows / grid.replicas();
  RankMemory most;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const int number = static_cast<int>(stage);
    const int rank = grid.rank({.data = 0, .expert = 0, .tensor = 0, .pipeline = number});
    RankMemory memory = memory_of(rank, question, grid, groups);
    memory.plan.on_card = alone.on_card;
    memory.plan.activations =
        grid.pipeline == 1 ? alone.activations
                           : stage_activations(question, stages[stage], std::min(grid.pipeline - number, of_replica));
    memory.plan.program = alone.program;
    if (rank == 0) {
      memory.plan.checkpoint = alone.checkpoint;
      if (grid.ranks() > 1) memory.plan.optimizer += alone.optimizer;
      memory.plan.pipeline = alone.pipeline;
    }
    if (stage == 0 || memory.needed() > most.needed()) most = memory;
  }
  return most;
}

}  // namespace millrace
