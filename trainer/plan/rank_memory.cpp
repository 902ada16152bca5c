#include "trainer/plan/rank_memory.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <span>

#include "model/bf16.h"
#include "trainer/cluster/stage_cut.h"
#include "trainer/plan/exchange_plan.h"
#include "trainer/plan/expert_slots.h"
#include "trainer/plan/optimizer_memory.h"
#include "trainer/ranked/ownership.h"
#include "trainer/ranked/rank_groups.h"
#include "trainer/ranked/rank_save.h"

namespace millrace {
namespace {

/// MPI's libraries, and its buffers.
constexpr std::uint64_t kMpi = std::uint64_t{8} << 20;
/// Of the program, what only rank 0 needs: it reads the data.
constexpr std::uint64_t kReading = std::uint64_t{54} << 20;

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

/// The buffers of add_up_shares() or give_shares().
std::uint64_t share_bytes(const ShareSizes& sizes) {
  return static_cast<std::uint64_t>(std::max(sizes.numbers_to_add(), sizes.numbers_to_give())) * sizeof(float);
}

/// A step's rows on the wire, and what is told of each position.
std::uint64_t row_bytes(const MemoryQuestion& question, int rows) {
  constexpr std::uint64_t kOfAPosition = 5 * sizeof(float) + sizeof(float) + 1;
  return static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(question.sequence_length) * kOfAPosition;
}

/// Two micro-batches' numbers on their way to each neighbour (StagePasses).
std::uint64_t sent_between_stages(const MemoryQuestion& question, const LayerRange& layers) {
  const std::uint64_t neighbours = (layers.has_embedding() ? 0 : 1) + (layers.has_head(question.model) ? 0 : 1);
  const auto positions =
      static_cast<std::uint64_t>(micro_rows_of(question.train)) * static_cast<std::uint64_t>(question.sequence_length);
  return 2 * neighbours * positions * static_cast<std::uint64_t>(question.model.hidden_size) * sizeof(float);
}

/// What a layer's experts keep of all members' slots, less what they keep of one rank's where all are in one place
/// (Experts::Saved, Scratch).
std::uint64_t activations_of_shared_experts(const MemoryQuestion& question, const ProcessGrid& grid,
                                            const LayerRange& layers, int at_once) {
  if (grid.expert == 1) return 0;
  const ModelConfig& model = question.model;
  const TrainConfig& train = question.train;
  std::uint64_t moe_layers = 0;
  for (int layer = layers.first; layer < layers.end; ++layer) moe_layers += model.is_moe_layer(layer) ? 1 : 0;
  if (moe_layers == 0) return 0;
  const Index positions = Index{micro_rows_of(train)} * question.sequence_length;
  const auto members = static_cast<std::uint64_t>(grid.expert);
  const std::uint64_t alone = most_slots(model, train, positions, model.num_experts);
  const std::uint64_t shared = members * most_slots(model, train, positions, model.num_experts / grid.expert);
  const std::uint64_t low = train.precision == "bf16" ? sizeof(Bf16) : sizeof(float);
  const auto hidden = static_cast<std::uint64_t>(model.hidden_size);
  const std::uint64_t of_slot = (hidden + 2 * static_cast<std::uint64_t>(model.intermediate_size)) * low;
  const std::uint64_t kept = train.recompute ? 1 : moe_layers * static_cast<std::uint64_t>(at_once);
  return kept * of_slot * (shared - std::min(shared, alone)) + shared * hidden * (low + sizeof(float));
}

/// Of the groups that a rank is in.
RankMemory memory_of(int rank, const MemoryQuestion& question, const ProcessGrid& grid,
                     const std::vector<RankGroup>& groups) {
  const TrainConfig& train = question.train;
  RankMemory memory{.rank = rank, .plan = {}};
  Numbers numbers;
  std::uint64_t shares = 0;
  for (const RankGroup& group : groups) {
    const auto member = std::ranges::find(group.ranks, rank);
    if (member == group.ranks.end()) continue;
    for (const ParameterSpec& spec : group.specs)
      (spec.per_expert ? numbers.experts : numbers.shared) += static_cast<std::uint64_t>(spec.size());
    const auto owners = ownership(group.specs, static_cast<int>(group.ranks.size()));
    const auto own = static_cast<std::size_t>(member - group.ranks.begin());
    const OptimizerMemory optimizer = optimizer_memory(train, group.specs, owners[own]);
    memory.plan.optimizer += optimizer.state + optimizer.scratch;
    std::vector<double> sizes;
    for (const auto& parts : owners) sizes.push_back(static_cast<double>(size_of(parts, group.specs)));
    if (owners.size() > 1) shares = std::max(shares, share_bytes(share_sizes(sizes, own)));
  }
  memory.plan.weights = numbers.all() * (sizeof(float) + (train.precision == "bf16" ? sizeof(Bf16) : 0));
  memory.plan.gradients = gradients(train, grid, numbers);
  memory.lanes = memory.plan.gradients - numbers.all() * sizeof(float);
  if (grid.ranks() == 1) return memory;
  const int rows = rank == 0 ? train.batch_rows : train.batch_rows / grid.replicas();
  memory.plan.exchange = shares + row_bytes(question, rows) + kMpi;
  return memory;
}

}  // namespace

std::vector<RankMemory> memory_of_ranks(const MemoryQuestion& question, const ProcessGrid& grid) {
  const std::vector<LayerRange> stages =
      cut_layers(layer_operations(question.model, question.sequence_length, 1), grid.pipeline);
  const std::vector<RankGroup> groups = rank_groups(grid, question.model, stages);
  const MemoryPlan alone = plan_memory(question);
  MemoryQuestion without_data = question;
  without_data.vocabulary = 0;
  const MemoryPlan other = plan_memory(without_data);
  const int of_replica = question.train.batch_rows / micro_rows_of(question.train) / grid.replicas();
  std::vector<int> ranks{0};
  if (grid.replicas() > 1) ranks.push_back(1);
  for (int stage = 1; stage < grid.pipeline; ++stage)
    ranks.push_back(grid.rank({.data = 0, .expert = 0, .tensor = 0, .pipeline = stage}));
  const std::vector<std::uint64_t> saved =
      bytes_of_writers(parameter_specs(question.model), question.train, grid.ranks());
  const std::uint64_t of_all = std::accumulate(saved.begin(), saved.end(), std::uint64_t{0});
  const std::uint64_t most_of_others = saved.size() > 1 ? *std::max_element(saved.begin() + 1, saved.end()) : 0;
  std::vector<RankMemory> memories;
  for (const int rank : ranks) {
    const int stage = grid.place(rank).pipeline;
    const LayerRange& layers = stages[static_cast<std::size_t>(stage)];
    const int at_once = std::min(grid.pipeline - stage, of_replica);
    RankMemory& memory = memories.emplace_back(memory_of(rank, question, grid, groups));
    memory.plan.on_card = alone.on_card;
    memory.plan.activations = grid.pipeline == 1 ? alone.activations : stage_activations(question, layers, at_once);
    if (grid.pipeline > 1) memory.plan.activations += sent_between_stages(question, layers);
    memory.plan.activations += activations_of_shared_experts(question, grid, layers, at_once);
    memory.plan.checkpoint = rank == 0 ? saved.front() : most_of_others;
    memory.plan.program = rank == 0 ? alone.program : other.program - kReading;
    if (rank != 0) continue;
    memory.plan.checkpoint += alone.checkpoint - of_all;  // What is no tensor's.
    if (grid.ranks() > 1) memory.plan.optimizer += alone.optimizer;
    memory.plan.pipeline = alone.pipeline;
    if (grid.expert > 1 || grid.pipeline > 1)
      memory.plan.exchange += static_cast<std::uint64_t>(parameter_count(question.model)) * sizeof(float);
  }
  return memories;
}

const RankMemory& memory_of_rank(const std::vector<RankMemory>& memories, const ProcessGrid& grid, int rank) {
  const int stage = grid.place(rank).pipeline;
  const auto is_like_it = [&](const RankMemory& one) {
    return (one.rank == 0) == (rank == 0) && grid.place(one.rank).pipeline == stage;
  };
  return *std::ranges::find_if(memories, is_like_it);
}

const RankMemory& largest_memory(const std::vector<RankMemory>& memories) {
  return *std::ranges::max_element(memories, {}, &RankMemory::needed);
}

}  // namespace millrace
