#include "trainer/distributed/process_grid.h"

#include <set>
#include <string>

#include <gmock/gmock.h>

#include "stages/errors.h"

namespace millrace {
namespace {

using testing::HasSubstr;

ModelConfig model_8b() {
  ModelConfig model = model_preset("openmoe-8b");
  return model;
}

TrainConfig run_of(int batch_rows, int micro_rows, int lanes, int expert_lanes) {
  TrainConfig train;
  train.batch_rows = batch_rows;
  train.micro_rows = micro_rows;
  train.lanes = lanes;
  train.expert_lanes = expert_lanes;
  return train;
}

std::string refusal_of(const GridWish& wish, int ranks, const TrainConfig& train) {
  try {
    process_grid(wish, ranks, model_8b(), train);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string refusal_of_text(const std::string& text) {
  try {
    parse_grid(text, "--grid");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(ProcessGrid, HasEachRankInOnePlaceAndTensorNearest) {
  const ProcessGrid grid{4, 2, 3, 5};
  std::set<int> seen;
  for (int rank = 0; rank < grid.ranks(); ++rank) {
    const ProcessGrid::Place place = grid.place(rank);
    EXPECT_EQ(grid.rank(place), rank);
    seen.insert(rank);
  }
  EXPECT_EQ(seen.size(), 120U);
  EXPECT_EQ(grid.place(1), (ProcessGrid::Place{.tensor = 1}));
  EXPECT_EQ(grid.place(3), (ProcessGrid::Place{.expert = 1}));
  EXPECT_EQ(grid.place(6), (ProcessGrid::Place{.data = 1}));
  EXPECT_EQ(grid.place(24), (ProcessGrid::Place{.pipeline = 1}));
}

TEST(ProcessGrid, GivesDataWhatIsLeft) {
  const TrainConfig train = run_of(1024, 2, 8, 8);
  EXPECT_EQ(process_grid({}, 8, model_8b(), train), (ProcessGrid{8, 1, 1, 1}));
  EXPECT_EQ(process_grid({.expert = 8}, 64, model_8b(), train), (ProcessGrid{8, 8, 1, 1}));
  EXPECT_EQ(process_grid({.data = 2, .expert = 8, .pipeline = 3}, 48, model_8b(), train), (ProcessGrid{2, 8, 1, 3}));
  EXPECT_EQ((ProcessGrid{2, 8, 1, 3}).text(), "data 2 x expert 8 x tensor 1 x pipeline 3");
}

TEST(ProcessGrid, RefusesAProductThatIsNotTheNumberOfRanks) {
  const TrainConfig train = run_of(1024, 2, 8, 8);
  EXPECT_EQ(refusal_of({.expert = 8, .pipeline = 2}, 24, train),
            "grid: expert 8 x tensor 1 x pipeline 2 does not divide 24 ranks. With 24: data 1 x expert 8 x tensor 1 x "
            "pipeline 3; data 2 x expert 4 x tensor 1 x pipeline 3; data 4 x expert 2 x tensor 1 x pipeline 3");
  EXPECT_THAT(
      refusal_of({.data = 4, .expert = 4}, 8, train),
      HasSubstr("grid: data 4 x expert 4 x tensor 1 x pipeline 1 is 16 ranks, but 8 were started. With 8: data "));
  EXPECT_THAT(refusal_of({.pipeline = 2}, 23, train), HasSubstr("With 23: data 1 x expert 1 x tensor 1 x pipeline 23"));
  EXPECT_THAT(refusal_of({.pipeline = 2}, 37, train), HasSubstr("No grid of 37 ranks fits; of 36: data "));
}

TEST(ProcessGrid, RefusesWidthsThatLanesDoNotHave) {
  EXPECT_EQ(refusal_of({}, 16, run_of(1024, 2, 8, 1)),
            "grid: data 16 does not divide train.lanes = 8. Use data 8, 4, 2 or 1, or --set train.lanes=16: a new run "
            "just takes it, one that was begun goes on with --accept-changes as well (its last digits change)");
  EXPECT_EQ(refusal_of({}, 6, run_of(1024, 2, 8, 1)),
            "grid: data 6 does not divide train.lanes = 8. Use data 4, 2 or 1");
  EXPECT_EQ(refusal_of({}, 2, run_of(1024, 2, 1, 1)),
            "grid: data 2 does not divide train.lanes = 1. Use data 1, or --set train.lanes=2: a new run just takes "
            "it, one that was begun goes on with --accept-changes as well (its last digits change)");
  EXPECT_EQ(refusal_of({.expert = 8}, 8, run_of(1024, 2, 8, 4)),
            "grid: expert 8 does not divide train.expert_lanes = 4. Use expert 4, 2 or 1, or --set "
            "train.expert_lanes=8: a new run just takes it, one that was begun goes on with --accept-changes as well "
            "(its last digits change)");
}

TEST(ProcessGrid, RefusesLanesThatTheMicroBatchesDoNotFill) {
  EXPECT_EQ(refusal_of({}, 8, run_of(768, 8, 8, 8)),
            "batch_rows / micro_rows = 96 micro-batches; lanes 8 x expert_lanes 8 does not divide them; 8 x 4 does");
}

TEST(ProcessGrid, RefusesWidthsThatTheModelDoesNotHave) {
  const TrainConfig train = run_of(1024, 1, 8, 128);
  EXPECT_EQ(refusal_of({.expert = 64}, 64, train),
            "grid: expert 64 does not divide num_experts = 32 (1, 2, 4, 8, 16, 32 do)");
  EXPECT_EQ(refusal_of({.tensor = 5}, 5, train),
            "grid: tensor 5 does not divide num_attention_heads = 24 (1, 2, 3, 4, 6, 8, 12, 24 do)");
  EXPECT_EQ(refusal_of({.pipeline = 40}, 40, train), "grid: pipeline 40, the model has 24 layers");
}

TEST(ProcessGrid, WarnsOfABubbleAndSaysWhatMakesItSmaller) {
  EXPECT_EQ(
      bubble_warning({2, 1, 1, 4}, run_of(64, 8, 2, 1)),
      "4 micro-batches a replica in 4 stages: 43 % of the time is the pipeline's bubble; micro_rows = 2 gives 16 %");
  EXPECT_EQ(bubble_warning({2, 1, 1, 4}, run_of(64, 2, 2, 1)), "");
  EXPECT_EQ(bubble_warning({2, 1, 1, 1}, run_of(2, 1, 2, 1)), "");
}

TEST(ProcessGrid, IsReadFromText) {
  const GridWish wish = parse_grid("expert=8,data=4", "--grid", {.pipeline = 2});
  EXPECT_EQ(wish.data, 4);
  EXPECT_EQ(wish.expert, 8);
  EXPECT_EQ(wish.tensor, 1);
  EXPECT_EQ(wish.pipeline, 2);
  for (const std::string text :
       {"", "data", "data=", "data=0", "data=x", "date=4", "data=4,", "data=4;expert=2", "data=-1"})
    EXPECT_THAT(refusal_of_text(text), HasSubstr("joined by commas: data=4,expert=8")) << text;
  EXPECT_THAT(refusal_of_text("data=4,date=3"), HasSubstr("--grid has \"date=3\""));
}

}  // namespace
}  // namespace millrace
