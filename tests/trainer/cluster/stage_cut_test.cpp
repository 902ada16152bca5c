#include "trainer/cluster/stage_cut.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "model/cost/flops.h"

namespace millrace {
namespace {

double most_work(const std::vector<double>& operations, const std::vector<LayerRange>& cut) {
  double most = 0;
  for (const LayerRange& layers : cut)
    most = std::max(most, std::accumulate(operations.begin() + layers.first, operations.begin() + layers.end, 0.0));
  return most;
}

/// The least most work of all cuts, by trying each.
double least_most_work(const std::vector<double>& operations, int first, int stages) {
  const int layers = static_cast<int>(operations.size());
  if (stages == 1) return std::accumulate(operations.begin() + first, operations.end(), 0.0);
  double least = std::numeric_limits<double>::infinity();
  double here = 0;
  for (int end = first + 1; layers - end >= stages - 1; ++end) {
    here += operations[static_cast<std::size_t>(end - 1)];
    least = std::min(least, std::max(here, least_most_work(operations, end, stages - 1)));
  }
  return least;
}

RC_GTEST_PROP(StageCut, IsTheBestOfAllAndHasEveryLayerOnce, ()) {
  const auto works = *rc::gen::suchThat(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 9)),
                                        [](const std::vector<int>& all) { return !all.empty() && all.size() <= 9; });
  const std::vector<double> operations(works.begin(), works.end());
  const int stages = *rc::gen::inRange(1, static_cast<int>(operations.size()) + 1);
  const std::vector<LayerRange> cut = cut_layers(operations, stages);
  RC_ASSERT(cut.size() == static_cast<std::size_t>(stages));
  int next = 0;
  for (const LayerRange& layers : cut) {
    RC_ASSERT(layers.first == next && layers.end > next);
    next = layers.end;
  }
  RC_ASSERT(next == static_cast<int>(operations.size()));
  RC_ASSERT(most_work(operations, cut) == least_most_work(operations, 0, stages));
}

TEST(StageCut, CountsTheHeadToTheLastStage) {
  const ModelConfig config = model_preset("openmoe-8b");
  const std::vector<double> operations = layer_operations(config, 2048, 1);
  const std::vector<LayerRange> cut = cut_layers(operations, 4);
  EXPECT_LT(cut[3].end - cut[3].first, cut[0].end - cut[0].first);
}

TEST(StageCut, SharesOutTheOperationsOfTheWholeModel) {
  const ModelConfig config = model_preset("openmoe-base");
  const std::vector<double> operations = layer_operations(config, 2048, 1);
  const double pairs_a_layer = 2048 * 1.25;  // Capacity factor 1.25, all experts full.
  const double moe_layers = config.num_hidden_layers / config.moe_layer_interval;
  const double whole = product_operations(config, {.positions = 2048,
                                                   .loss_positions = 2048,
                                                   .attention_pairs = 2048.0 * 2049 / 2,
                                                   .expert_pairs = moe_layers * pairs_a_layer});
  EXPECT_NEAR(std::accumulate(operations.begin(), operations.end(), 0.0) * 2048 / whole, 1, 0.02);
}

}  // namespace
}  // namespace millrace
