#pragma once

#include <cstddef>
#include <vector>

#include "model/optimizer/owned_parts.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/distributed/process_grid.h"

namespace millrace {

/// How ranks are arranged, and the layers of each stage.
struct RankLayout {
  ProcessGrid grid;
  std::vector<LayerRange> stages;

  /// Whether no rank has all of the model.
  bool spreads_model() const { return grid.expert > 1 || grid.pipeline > 1; }
};
RankLayout rank_layout(const ProcessGrid& grid, const ModelConfig& model, int sequence_length);

/// Ranks that have the same parameters, and share their update.
struct RankGroup {
  std::vector<int> ranks;            ///< Rising.
  std::vector<ParameterSpec> specs;  ///< Of experts' tensors, the experts that these ranks have.
};

/// Those of a grid: of each stage all replicas for what they all have, and, where experts are spread, the ranks of each
/// part of the experts for that. `stages`: each one's layers.
std::vector<RankGroup> rank_groups(const ProcessGrid& grid, const ModelConfig& model,
                                   const std::vector<LayerRange>& stages);

/// Who updates what: of each rank the parts of the whole model's parameters that it owns, in their order. Each group's
/// are divided among its ranks (ownership.h).
std::vector<std::vector<ParameterPart>> owners_of_ranks(const std::vector<RankGroup>& groups, int ranks);

/// How a step's micro-batches are spread over a grid. Each data group has whole lanes, in order; its replicas take
/// turns.
class MicroBatchesOfRanks {
 public:
  MicroBatchesOfRanks(const ProcessGrid& grid, std::size_t count) : grid_(grid), count_(count) {}

  std::size_t of_replica() const { return count_ / static_cast<std::size_t>(grid_.replicas()); }
  /// The number in the step of a replica's micro-batch.
  std::size_t number(const ProcessGrid::Place& place, std::size_t own) const {
    return static_cast<std::size_t>(place.data) * of_group() + own * members() + static_cast<std::size_t>(place.expert);
  }
  /// The other way: the replica of a micro-batch of the step, and which of its own that is.
  ProcessGrid::Place place(std::size_t number) const {
    return {.data = static_cast<int>(number / of_group()), .expert = static_cast<int>(number % members())};
  }
  std::size_t own(std::size_t number) const { return number % of_group() / members(); }

 private:
  std::size_t members() const { return static_cast<std::size_t>(grid_.expert); }
  std::size_t of_group() const { return of_replica() * members(); }

  const ProcessGrid& grid_;
  std::size_t count_;
};

}  // namespace millrace
