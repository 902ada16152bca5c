#include "trainer/plan/cluster_plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "trainer/plan/cluster.h"

namespace millrace {
namespace {

using testing::HasSubstr;

class ClusterPlanTest : public testing::Test {
 protected:
  ClusterPlanTest() {
    model_.vocab_size = 8192;
    train_.batch_rows = 128;
    train_.micro_rows = 1;
    cluster_.ranks_per_machine = 4;
    cluster_.memory = 1e9;
    cluster_.operations = 1e12;
    cluster_.memory_bandwidth = 1e11;
    cluster_.inside = {1e-6, 1e10};
    cluster_.between = {1e-5, 1e9};
  }
  std::vector<GridPlan> plans(int ranks, const std::optional<GridWish>& wish = {}) const {
    const MemoryQuestion run{.model = model_, .train = train_, .sequence_length = 128};
    return plan_cluster({.run = run, .cluster = cluster_, .ranks = ranks, .positions = 1e9}, wish);
  }
  GridPlan only(int ranks, const GridWish& wish) const {
    const std::vector<GridPlan> all = plans(ranks, wish);
    EXPECT_EQ(all.size(), 1U);
    return all.front();
  }
  const ExchangePlan& exchange(const GridPlan& plan, const std::string& name) const {
    return *std::ranges::find(plan.exchanges, name, &ExchangePlan::name);
  }

  ModelConfig model_ = model_preset("openmoe-nano");
  TrainConfig train_;
  Cluster cluster_;
};

TEST_F(ClusterPlanTest, HasEveryGridOnceTheFastestFirst) {
  const std::vector<GridPlan> all = plans(8);
  EXPECT_EQ(all.size(), 10U);  // 8 = data x expert x pipeline, each a power of two.
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].grid.ranks(), 8);
    if (i > 0 && all[i].fits()) {
      EXPECT_TRUE(all[i - 1].fits());
      EXPECT_LE(all[i - 1].step, all[i].step);
    }
  }
  for (const GridPlan& plan : all) {
    if (plan.grid.pipeline != 8) continue;
    EXPECT_THAT(plan.excluded, HasSubstr("the model has 4 layers"));
  }
}

TEST_F(ClusterPlanTest, OfOneRankIsThePlanOfOneProcess) {
  const GridPlan plan = only(1, {});
  const MemoryQuestion run{.model = model_, .train = train_, .sequence_length = 128};
  EXPECT_EQ(plan.memory.needed(), plan_memory(run).total());
  EXPECT_TRUE(plan.settings.empty());
  EXPECT_EQ(plan.not_built, "");
  for (const ExchangePlan& exchange : plan.exchanges) EXPECT_EQ(exchange.bytes(), 0);
  EXPECT_NEAR(plan.positions_per_second, 128 * 128 / plan.step, 1e-6);
  EXPECT_NEAR(plan.days, 1e9 / plan.positions_per_second / 86400, 1e-12);
}

/// Each of n ranks sends its sums of all but its own parts, and its parts' values to n - 1.
TEST_F(ClusterPlanTest, CountsTheBytesOfGradientsAndWeights) {
  const auto parameters = static_cast<double>(parameter_count(model_));
  for (const int ranks : {2, 4, 8, 16}) {
    const GridPlan plan = only(ranks, {.data = ranks});
    for (const char* name : {"gradients", "weights"})
      EXPECT_DOUBLE_EQ(exchange(plan, name).bytes(), 4 * parameters * (ranks - 1)) << ranks;
    EXPECT_EQ(plan.settings, std::vector<std::string>{"train.lanes=" + std::to_string(ranks)});
    EXPECT_EQ(exchange(plan, "gradients").between == 0, ranks <= 4);
  }
  // Of two machines of four, each rank has three others inside and four outside.
  const ExchangePlan of_eight = exchange(only(8, {.data = 8}), "gradients");
  EXPECT_DOUBLE_EQ(of_eight.inside / of_eight.between, 3.0 / 4);
}

TEST_F(ClusterPlanTest, DividesExpertsMemoryByTheirRanks) {
  train_.lanes = 1;
  const GridPlan data = only(8, {.data = 8});
  const GridPlan expert = only(8, {.data = 1, .expert = 8});
  double experts = 0;
  for (const ParameterSpec& spec : parameter_specs(model_))
    experts += spec.per_expert ? static_cast<double>(spec.size()) : 0;
  const double saved = static_cast<double>(data.memory.plan.weights) - static_cast<double>(expert.memory.plan.weights);
  EXPECT_DOUBLE_EQ(saved, experts * 7 / 8 * 4);
  EXPECT_GT(exchange(expert, "experts").bytes(), 0);
  EXPECT_EQ(expert.not_built, "");
  EXPECT_EQ(data.not_built, "");
}

TEST_F(ClusterPlanTest, KeepsTheRunsLanesAndSaysWhatTheyExclude) {
  train_.lanes = 4;
  const GridPlan plan = only(8, {.data = 8});
  EXPECT_THAT(plan.excluded, HasSubstr("does not divide train.lanes = 4"));
  EXPECT_TRUE(only(4, {.data = 4}).fits());
}

TEST_F(ClusterPlanTest, RecomputesLayersWhereNothingElseFitsAndExcludesWhatNeverDoes) {
  train_.micro_rows = 8;
  const GridPlan roomy = only(2, {.data = 2});
  train_.recompute = true;
  const GridPlan least = only(2, {.data = 2});
  train_.recompute = false;
  ASSERT_LT(least.memory.needed(), roomy.memory.needed());
  cluster_.memory = static_cast<double>(roomy.memory.needed() - 1);
  const GridPlan tight = only(2, {.data = 2});
  EXPECT_TRUE(tight.fits());
  EXPECT_THAT(tight.settings, testing::Contains("train.recompute=true"));
  EXPECT_GT(tight.compute, roomy.compute);
  cluster_.memory = static_cast<double>(least.memory.needed() - 1);
  EXPECT_THAT(only(2, {.data = 2}).excluded, HasSubstr("a rank takes"));
}

TEST_F(ClusterPlanTest, HasTheBubbleOfOneForwardOneBackward) {
  cluster_.inside = cluster_.between = {0, 1e30};
  train_.batch_rows = 16;
  const GridPlan plan = only(4, {.data = 1, .pipeline = 4});
  // (P - 1) / (M + P - 1) of the products' time with 16 micro-batches.
  EXPECT_NEAR(plan.bubble / (plan.compute + plan.bubble), 3.0 / 19, 1e-9);
}

TEST_F(ClusterPlanTest, SharesAMachinesLinkAmongItsRanks) {
  const std::vector<int> two{0, 4};
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster_, two, 1e6, 1), 1e-5 + 1e-3);
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster_, two, 1e6, 4), 1e-5 + 4e-3);
  const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster_, all, 1e6, 4), 3 * (1e-6 + 1e-4) + 4 * (1e-5 + 4e-3));
}

TEST_F(ClusterPlanTest, RefusesAWishThatIsNoGridOfTheRanks) {
  EXPECT_THROW(plans(8, GridWish{.data = 3}), ConfigError);
  EXPECT_THROW(plans(8, GridWish{.expert = 3}), ConfigError);
  EXPECT_THROW(plans(8, GridWish{.tensor = 2}), ConfigError);
}

/// OpenMoE-8B on 512 cards of 80 GB, 34B with two stages.
TEST(ClusterPlan, KnowsThatThePublishedModelsFit) {
  const Cluster cluster = read_cluster("h100-8x400g");
  for (const auto& [preset, pipeline] : {std::pair("openmoe-8b", 1), std::pair("openmoe-34b", 2)}) {
    const ModelConfig model = model_preset(preset);
    TrainConfig train;
    train.batch_rows = 1024;
    train.micro_rows = 2;
    const MemoryQuestion run{.model = model, .train = train, .sequence_length = 2048};
    const std::vector<GridPlan> plans = plan_cluster({.run = run, .cluster = cluster, .ranks = 512, .positions = 1e12},
                                                     GridWish{.expert = 32, .pipeline = pipeline});
    EXPECT_EQ(plans.front().excluded, "") << preset;
    EXPECT_GT(plans.front().step, 0.1);
    EXPECT_LT(plans.front().step, 5);
  }
}

std::string complaint_of(const std::string& text) {
  const TemporaryFolder folder;
  const std::string file = folder.write("cluster.toml", text).string();
  try {
    read_cluster(file);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ClusterFile, IsReadBackAsItWasWritten) {
  for (const std::string& name : cluster_preset_names()) {
    const Cluster preset = read_cluster(name);
    const TemporaryFolder folder;
    const Cluster again = read_cluster(folder.write("cluster.toml", cluster_toml(preset)).string());
    EXPECT_EQ(cluster_toml(again), cluster_toml(preset));
    EXPECT_EQ(again.between.bandwidth, preset.between.bandwidth);
  }
}

TEST(ClusterFile, IsRefusedWithPlaceAndReason) {
  EXPECT_THAT(complaint_of("ranks_per_machine = 0"), HasSubstr("ranks_per_machine"));
  const std::string whole = cluster_toml(read_cluster("cpu-10g"));
  EXPECT_EQ(complaint_of(whole), "");
  EXPECT_THAT(complaint_of("bandwith = 1\n" + whole), HasSubstr("bandwith"));
  EXPECT_THAT(complaint_of(whole.substr(0, whole.find("[between]"))), HasSubstr("latency"));
  try {
    read_cluster("h100");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("h100-8x400g, h200-8x400g, cpu-10g, cpu-100g"));
  }
}

}  // namespace
}  // namespace millrace
