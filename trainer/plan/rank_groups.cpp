#include "trainer/plan/rank_groups.h"

#include <cstddef>
#include <utility>

namespace millrace {
namespace {

std::vector<int> ranks_of(const ProcessGrid& grid, int stage, int first_expert, int end_expert) {
  std::vector<int> ranks;
  for (int data = 0; data < grid.data; ++data)
    for (int expert = first_expert; expert < end_expert; ++expert)
      ranks.push_back(grid.rank({.data = data, .expert = expert, .tensor = 0, .pipeline = stage}));
  return ranks;
}

}  // namespace

std::vector<RankGroup> rank_groups(const ProcessGrid& grid, const ModelConfig& model,
                                   const std::vector<LayerRange>& stages) {
  std::vector<RankGroup> groups;
  const int experts = model.num_experts / grid.expert;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const int number = static_cast<int>(stage);
    std::vector<ParameterSpec> shared = parameter_specs(model, stages[stage]);
    if (grid.expert > 1) std::erase_if(shared, [](const ParameterSpec& spec) { return spec.per_expert; });
    groups.push_back({ranks_of(grid, number, 0, grid.expert), std::move(shared)});
    for (int part = 0; part < grid.expert && grid.expert > 1; ++part) {
      std::vector<ParameterSpec> own = parameter_specs(model, stages[stage], {part * experts, experts});
      std::erase_if(own, [](const ParameterSpec& spec) { return !spec.per_expert; });
      if (!own.empty()) groups.push_back({ranks_of(grid, number, part, part + 1), std::move(own)});
    }
  }
  return groups;
}

}  // namespace millrace
