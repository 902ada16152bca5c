#include "trainer/ranked/rank_groups.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

#include "trainer/cluster/stage_cut.h"
#include "trainer/ranked/ownership.h"

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

RankLayout rank_layout(const ProcessGrid& grid, const ModelConfig& model, int sequence_length) {
  return {grid, cut_layers(layer_operations(model, sequence_length, 1), grid.pipeline)};
}

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

std::vector<std::vector<ParameterPart>> owners_of_ranks(const std::vector<RankGroup>& groups, int ranks) {
  std::vector<std::vector<ParameterPart>> of_rank(static_cast<std::size_t>(ranks));
  for (const RankGroup& group : groups) {
    const auto owners = ownership(group.specs, static_cast<int>(group.ranks.size()));
    for (std::size_t owner = 0; owner < owners.size(); ++owner) {
      for (ParameterPart part : owners[owner]) {
        const ParameterSpec& spec = group.specs[part.parameter];
        const Tensor shape = parameter_tensor(spec, nullptr, Type::f32);
        part.parameter = spec.number;
        part.first_matrix += spec.first_element / (shape.rows * shape.columns);
        of_rank[static_cast<std::size_t>(group.ranks[owner])].push_back(part);
      }
    }
  }
  for (std::vector<ParameterPart>& parts : of_rank)
    std::ranges::sort(parts, {}, [](const ParameterPart& part) {
      return std::tuple(part.parameter, part.first_matrix, part.first_row);
    });
  return of_rank;
}

}  // namespace millrace
