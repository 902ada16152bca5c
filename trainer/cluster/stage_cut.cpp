#include "trainer/cluster/stage_cut.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include "model/cost/flops.h"
#include "model/pass/capacity.h"

namespace millrace {

std::vector<double> layer_operations(const ModelConfig& config, int length, double loss_share) {
  const auto positions = static_cast<double>(length);
  const ProductWork row{.positions = positions, .attention_pairs = positions * (positions + 1) / 2};
  const Capacity capacity = capacity_of(config, length, Mode::train);
  const double groups = positions / static_cast<double>(capacity.group);
  const double pairs = std::min(positions * std::min(config.router_topk, config.num_experts),
                                groups * static_cast<double>(capacity.places()) * config.num_experts);
  std::vector<double> operations;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    ModelConfig alone = config;
    alone.num_hidden_layers = 1;
    alone.moe_layer_interval = config.is_moe_layer(layer) ? 1 : 2;
    ProductWork work = row;
    if (config.is_moe_layer(layer)) work.expert_pairs = pairs;
    if (layer + 1 == config.num_hidden_layers) work.loss_positions = loss_share * positions;
    operations.push_back(product_operations(alone, work) / positions);
  }
  return operations;
}

std::vector<LayerRange> cut_layers(const std::vector<double>& operations, int stages) {
  const int layers = static_cast<int>(operations.size());
  if (stages < 1 || stages > layers) throw std::logic_error("more stages than layers");
  const auto work = [&](int first, int end) {
    double sum = 0;
    for (int layer = first; layer < end; ++layer) sum += operations[static_cast<std::size_t>(layer)];
    return sum;
  };
  // least[s][i]: the most work of a stage, if layers i.. are cut into s stages as well as can be.
  const double none = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> least(static_cast<std::size_t>(stages) + 1,
                                         std::vector<double>(static_cast<std::size_t>(layers) + 1, none));
  least[0][static_cast<std::size_t>(layers)] = 0;
  for (int count = 1; count <= stages; ++count) {
    for (int first = 0; first + count <= layers; ++first) {
      double& best = least[static_cast<std::size_t>(count)][static_cast<std::size_t>(first)];
      for (int end = first + 1; end <= layers; ++end) {
        const double rest = least[static_cast<std::size_t>(count) - 1][static_cast<std::size_t>(end)];
        best = std::min(best, std::max(work(first, end), rest));
      }
    }
  }
  std::vector<LayerRange> cut;
  const double most = least[static_cast<std::size_t>(stages)][0];
  int first = 0;
  for (int count = stages; count > 0; --count) {
    int end = layers - count + 1;
    while (std::max(work(first, end), least[static_cast<std::size_t>(count) - 1][static_cast<std::size_t>(end)]) > most)
      --end;
    cut.push_back({first, end});
    first = end;
  }
  return cut;
}

}  // namespace millrace
