#include "trainer/plan/cluster_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "trainer/plan/cluster.h"
#include "trainer/plan/expert_slots.h"
#include "trainer/plan/optimizer_memory.h"
#include "trainer/ranked/rank_save.h"

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
  EXPECT_EQ(plan.memory().needed(), plan_memory(run).total());
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
  const double saved =
      static_cast<double>(data.memory().plan.weights) - static_cast<double>(expert.memory().plan.weights);
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
  ASSERT_LT(least.memory().needed(), roomy.memory().needed());
  cluster_.memory = static_cast<double>(roomy.memory().needed() - 1);
  const GridPlan tight = only(2, {.data = 2});
  EXPECT_TRUE(tight.fits());
  EXPECT_THAT(tight.settings, testing::Contains("train.recompute=true"));
  EXPECT_GT(tight.compute, roomy.compute);
  cluster_.memory = static_cast<double>(least.memory().needed() - 1);
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
  EXPECT_DOUBLE_EQ(all_to_all(cluster_, two, 1e6, 1).seconds(), 1e-5 + 1e-3);
  EXPECT_DOUBLE_EQ(all_to_all(cluster_, two, 1e6, 4).seconds(), 1e-5 + 4e-3);
  const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7};
  const AllToAll of_all = all_to_all(cluster_, all, 1e6, 4, 2);
  EXPECT_DOUBLE_EQ(of_all.inside, 3 * (2e-6 + 1e-4));
  EXPECT_DOUBLE_EQ(of_all.between, 4 * (2e-5 + 4e-3));
}

/// Two ranks, 2^24 + 2 numbers, half for each: a bucket has 2^23, so that there are two rounds.
TEST_F(ClusterPlanTest, AddsWhatRanksDoThemselvesToPackAndAddUp) {
  cluster_.copy_bandwidth = 1e10;
  cluster_.fresh_bandwidth = 4e9;
  const double own = (1 << 23) + 1;
  const ShareSizes sizes{.ranks = 2, .all = 2 * own, .own = own, .longest = own, .first = 1 << 24};
  EXPECT_EQ(sizes.rounds(), 2);
  EXPECT_EQ(sizes.numbers_to_add(), 2 * (1 << 24));
  EXPECT_EQ(sizes.numbers_to_give(), 1 << 24);
  EXPECT_DOUBLE_EQ(seconds_to_add(cluster_, sizes), 8 * own / 1e10 + 12 * own / 1e11 + 4.0 * (1 << 25) / 4e9);
  EXPECT_DOUBLE_EQ(seconds_to_give(cluster_, sizes), 8 * 2 * own / 1e10 + 4.0 * (1 << 24) / 4e9);
  cluster_.copy_bandwidth = cluster_.fresh_bandwidth = 0;  // Not known: as all threads.
  EXPECT_DOUBLE_EQ(seconds_to_give(cluster_, sizes), 8 * 2 * own / 1e11 + 4.0 * (1 << 24) / 1e11);
}

/// One layer of E experts, 4 members. A member sends 10 slots and takes 30.
TEST_F(ClusterPlanTest, CountsWhatSharedExpertsSend) {
  const double hidden = model_.hidden_size;
  const double told = 3 * 8 * (model_.num_experts + 2.0);
  train_.precision = "f32";
  EXPECT_DOUBLE_EQ(expert_bytes(model_, train_, 4, {10, 30}, 1),
                   told + hidden * 4 * (10 + 30) + hidden * 4 * (10 + 30));
  train_.precision = "bf16";
  const double forward = told + hidden * 2 * (10 + 30);
  const double backward = hidden * (2 * 10 + 4 * 30);
  EXPECT_DOUBLE_EQ(expert_bytes(model_, train_, 4, {10, 30}, 1), forward + backward);
  EXPECT_DOUBLE_EQ(expert_bytes(model_, train_, 4, {10, 30}, 2), 2 * forward + backward);
  model_.dropout_rate = 0.1;
  EXPECT_DOUBLE_EQ(expert_bytes(model_, train_, 4, {10, 30}, 2), 2 * (forward + 4 * 10) + backward);
  for (const int layer : {0, model_.num_hidden_layers - 1}) EXPECT_EQ(forward_passes(model_, train_, layer), 1);
  train_.recompute = true;
  EXPECT_EQ(forward_passes(model_, train_, model_.num_hidden_layers - 2), 2);
  EXPECT_EQ(forward_passes(model_, train_, model_.num_hidden_layers - 1), 1) << "it is still there";
  EXPECT_EQ(slots_for(train_, 33), 64);
  train_.precision = "f32";
  EXPECT_EQ(slots_for(train_, 33), 33);
}

TEST_F(ClusterPlanTest, TellsWhatEachRankSends) {
  for (const GridPlan& plan : plans(8)) {
    if (!plan.fits()) continue;
    for (const ExchangePlan& exchange : plan.exchanges) {
      ASSERT_EQ(exchange.sent.size(), 8U);
      EXPECT_NEAR(std::accumulate(exchange.sent.begin(), exchange.sent.end(), 0.0), exchange.bytes(),
                  1e-9 * exchange.bytes())
          << exchange.name;
    }
  }
}

TEST_F(ClusterPlanTest, TellsTheMemoryOfRank0OfAnotherAndOfEachStage) {
  const GridPlan plan = only(8, {.data = 4, .pipeline = 2});
  ASSERT_EQ(plan.memories.size(), 3U);
  EXPECT_EQ(plan.memories[0].rank, 0);
  EXPECT_EQ(plan.memories[1].rank, 1);
  EXPECT_EQ(plan.memories[2].rank, 4);
  EXPECT_GT(plan.memories[0].needed(), plan.memories[1].needed());
  // One file of the model's and one of the optimizer's tensors, which two ranks write.
  const std::vector<std::uint64_t> saved = bytes_of_writers(parameter_specs(model_), train_, 8);
  EXPECT_EQ(saved[0], static_cast<std::uint64_t>(parameter_count(model_)) * sizeof(float));
  EXPECT_EQ(saved[1], optimizer_memory(train_, model_).state);
  EXPECT_EQ(saved[2], 0U);
  EXPECT_GE(plan.memories[0].plan.checkpoint, saved[0]);
  EXPECT_EQ(plan.memories[1].plan.checkpoint, saved[1]);
  EXPECT_EQ(plan.memories[1].plan.pipeline, 0U);
  EXPECT_EQ(memory_of_rank(plan.memories, plan.grid, 3).rank, 1);
  EXPECT_EQ(memory_of_rank(plan.memories, plan.grid, 7).rank, 4);
}

TEST_F(ClusterPlanTest, RefusesALinkThatIsNotKnown) {
  cluster_.between = {};
  EXPECT_EQ(only(4, {.data = 4}).excluded, "");
  try {
    plans(8);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no [between]"));
    EXPECT_THAT(error.what(), HasSubstr("--measure"));
  }
  cluster_.inside = {};
  EXPECT_EQ(only(1, {}).excluded, "");
  EXPECT_THROW(plans(4), ConfigError);
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
  EXPECT_EQ(complaint_of(whole.substr(0, whole.find("[between]"))), "");
  EXPECT_THAT(complaint_of(whole.substr(0, whole.rfind("bandwidth"))), HasSubstr("bandwidth"));
  EXPECT_THAT(complaint_of("inside = 3\n" + whole.substr(0, whole.find("[inside]"))), HasSubstr("inside"));
  try {
    read_cluster("h100");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("h100-8x400g, h200-8x400g, cpu-10g, cpu-100g"));
  }
}

}  // namespace
}  // namespace millrace
