#pragma once

#include <vector>

#include "model/parameters/parameter_spec.h"
#include "trainer/distributed/process_grid.h"

namespace millrace {

/// Ranks that have the same parameters, and share their update.
struct RankGroup {
  std::vector<int> ranks;            ///< Rising.
  std::vector<ParameterSpec> specs;  ///< Of experts' tensors, the experts that these ranks have.
};

/// Those of a grid: of each stage all replicas for what they all have, and, where experts are spread, the ranks of each
/// part of the experts for that. `stages`: each one's layers.
std::vector<RankGroup> rank_groups(const ProcessGrid& grid, const ModelConfig& model,
                                   const std::vector<LayerRange>& stages);

}  // namespace millrace
