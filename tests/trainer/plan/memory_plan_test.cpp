#include "trainer/plan/memory_plan.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "model/device/counting_device.h"
#include "model/parameters/parameter.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/backend/lane_sums.h"
#include "trainer/plan/optimizer_memory.h"

namespace millrace {
namespace {

class MemoryPlanTest : public testing::Test {
 protected:
  MemoryPlanTest() {
    model_.vocab_size = 4096;
    train_.batch_rows = 24;
    train_.micro_rows = 12;
  }
  MemoryQuestion question() const { return {.model = model_, .train = train_, .sequence_length = 512, .threads = 2}; }
  std::uint64_t planned(int micro_rows, bool recompute) const {
    TrainConfig train = train_;
    train.micro_rows = micro_rows;
    train.recompute = recompute;
    return plan_memory({.model = model_, .train = train, .sequence_length = 512, .threads = 2}).total();
  }

  ModelConfig model_ = model_preset("openmoe-nano");
  TrainConfig train_;
};

/// The state of AdamW is two numbers a weight; that of Adafactor one for each row and each column of a factored matrix.
TEST_F(MemoryPlanTest, CountsTheOptimizersState) {
  model_.hidden_size = 160;  // Some matrices are factored, some are not.
  std::int64_t numbers = 0;
  for (const ParameterSpec& spec : parameter_specs(model_)) {
    const std::size_t axes = spec.shape.size();
    const bool factored = axes > 1 && (spec.per_expert || std::min(spec.shape[0], spec.shape[1]) >= 128);
    const std::int64_t matrices = spec.per_expert ? spec.shape[0] : 1;
    numbers += factored ? matrices * (spec.shape[axes - 2] + spec.shape[axes - 1]) : spec.size();
  }
  train_.optimizer = "adafactor";
  EXPECT_EQ(optimizer_memory(train_, model_).state, 4 * static_cast<std::uint64_t>(numbers));
  train_.optimizer = "adamw";
  EXPECT_EQ(optimizer_memory(train_, model_).state, 8 * static_cast<std::uint64_t>(parameter_count(model_)));
}

/// Numbers for pieces of rows, which are few beside the weights.
TEST_F(MemoryPlanTest, CountsWhatAnUpdateNeedsBesides) {
  for (const char* name : {"adafactor", "adamw"}) {
    train_.optimizer = name;
    const std::uint64_t scratch = optimizer_memory(train_, model_).scratch;
    EXPECT_GT(scratch, 0U) << name;
    EXPECT_LT(scratch, 4 * static_cast<std::uint64_t>(parameter_count(model_)) / 10) << name;
  }
}

TEST_F(MemoryPlanTest, TellsWhatLiesOnACardFromWhatDoesNot) {
  model_.capacity_rule = CapacityRule::flaxformer;
  const MemoryPlan here = plan_memory(question());
  EXPECT_EQ(here.card(), 0U);
  EXPECT_EQ(here.host(), here.total());
  train_.device = "cuda";
  train_.precision = "bf16";
  const MemoryPlan there = plan_memory(question());
  EXPECT_EQ(there.card(), there.weights + there.gradients + there.optimizer + there.activations);
  EXPECT_EQ(there.host() + there.card(), there.total());
  // Attention's gradient keeps a number of two bytes a head and pair of positions.
  EXPECT_GT(there.activations, std::uint64_t{12} * 4 * 512 * 512 * 2);
  // Without the same bits each time a sum of four bytes for each number of the queries.
  train_.deterministic = false;
  EXPECT_EQ(there.activations - plan_memory(question()).activations,
            std::uint64_t{12} * 4 * 512 * (512 * 2 - static_cast<std::uint64_t>(model_.head_dim) * 4));
  train_.deterministic = true;
  const MachineMemory large{.bytes = there.host(), .limit = {}, .card = there.card(), .card_name = {}};
  EXPECT_TRUE(there.fits(large));
  EXPECT_FALSE(there.fits({.bytes = there.host() - 1, .limit = {}, .card = there.card(), .card_name = {}}));
  const MachineMemory small{.bytes = there.host(), .limit = {}, .card = there.card() - 1, .card_name = {}};
  EXPECT_FALSE(there.fits(small));
  EXPECT_EQ(settings_that_fit(question(), small).value_or("").find("--set train.micro_rows="), 0U);
}

/// Cards of 80 and 141 "GB" have 84 and 149 of 10^9 bytes free.
TEST(MemoryPlanOfACard, HoldsBaseIn80GigabytesAnd8bIn141) {
  constexpr std::uint64_t kGiga = 1'000'000'000;
  const auto on_card = [](const char* preset, int micro_rows, bool recompute) {
    TrainConfig train;
    train.device = "cuda";
    train.precision = "bf16";
    train.micro_rows = micro_rows;
    train.recompute = recompute;
    const ModelConfig model = model_preset(preset);
    return plan_memory({.model = model, .train = train, .sequence_length = 2048}).card();
  };
  EXPECT_LT(on_card("openmoe-base", 16, false), 34 * kGiga);
  EXPECT_LT(on_card("openmoe-base", 32, false), 52 * kGiga);
  EXPECT_GT(on_card("openmoe-8b", 8, false), 149 * kGiga);
  EXPECT_LT(on_card("openmoe-8b", 8, true), 139 * kGiga);
  EXPECT_LT(on_card("openmoe-8b", 2, false), 149 * kGiga);
}

TEST_F(MemoryPlanTest, CountsTheGradientsThatLanesKeep) {
  train_.micro_rows = 1;
  train_.lanes = 4;
  train_.expert_lanes = 2;
  CountingDevice device(Precision::f32, true);
  const LaneShape shape{4, 2};
  const ParameterMemory memory(device, parameter_specs(model_), ParameterMemory::Gradients::allocated, shape.more());
  const auto values = static_cast<double>(device.bytes()) - 4 * static_cast<double>(parameter_count(model_));
  EXPECT_NEAR(static_cast<double>(plan_memory(question()).gradients), values, 1e-3 * values);
}

TEST_F(MemoryPlanTest, ProposesOnlyMicroBatchesThatMakeWholeLanesAndLossGroups) {
  train_.loss_rows = 12;
  train_.lanes = 4;
  EXPECT_EQ(settings_that_fit(question(), {.bytes = planned(6, false), .limit = {}, .card = 0, .card_name = {}}),
            "--set train.micro_rows=6");
  EXPECT_EQ(settings_that_fit(question(), {.bytes = planned(6, false) - 1, .limit = {}, .card = 0, .card_name = {}}),
            "--set train.micro_rows=3");
}

TEST_F(MemoryPlanTest, CountsWeightsGradientsImagesAndTheCopyForCheckpoints) {
  const auto parameters = static_cast<std::uint64_t>(parameter_count(model_));
  train_.optimizer = "adamw";
  const MemoryPlan f32 = plan_memory(question());
  EXPECT_EQ(f32.weights, 4 * parameters);
  EXPECT_EQ(f32.gradients, 4 * parameters);
  const OptimizerMemory optimizer = optimizer_memory(train_, model_);
  EXPECT_EQ(f32.optimizer, optimizer.state + optimizer.scratch);
  EXPECT_EQ(f32.checkpoint, 12 * parameters + 8 * 4096);
  train_.precision = "bf16";
  EXPECT_EQ(plan_memory(question()).weights, 6 * parameters);
}

TEST_F(MemoryPlanTest, ProposesTheLargestMicroBatchThatFitsAndRecomputingOnlyWhereItMust) {
  EXPECT_EQ(settings_that_fit(question(), {.bytes = planned(8, false), .limit = {}, .card = 0, .card_name = {}}),
            "--set train.micro_rows=8");
  EXPECT_EQ(settings_that_fit(question(), {.bytes = planned(8, false) - 1, .limit = {}, .card = 0, .card_name = {}}),
            "--set train.micro_rows=6");
  EXPECT_EQ(settings_that_fit(question(), {.bytes = planned(1, false) - 1, .limit = {}, .card = 0, .card_name = {}})
                .value_or("")
                .find("--set train.micro_rows="),
            0U);
  EXPECT_NE(settings_that_fit(question(), {.bytes = planned(1, false) - 1, .limit = {}, .card = 0, .card_name = {}})
                .value_or("")
                .find("train.recompute=true"),
            std::string::npos);
  EXPECT_EQ(settings_that_fit(question(),
                              {.bytes = least_memory(question()).total() - 1, .limit = {}, .card = 0, .card_name = {}}),
            std::nullopt);
}

TEST_F(MemoryPlanTest, GrowsWithTheMicroBatch) {
  EXPECT_GT(planned(24, false), planned(12, false));
  EXPECT_GT(planned(12, false), planned(12, true));
}

}  // namespace
}  // namespace millrace
