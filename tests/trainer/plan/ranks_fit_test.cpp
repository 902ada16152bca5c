#include "trainer/plan/ranks_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/plan/rank_memory.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using testing::Not;

class RanksFit : public testing::Test {
 protected:
  RanksFit() {
    model_.vocab_size = 8192;
    train_.batch_rows = 16;
    train_.micro_rows = 4;
    train_.lanes = 4;
  }
  MemoryQuestion question() const { return {.model = model_, .train = train_, .sequence_length = 512}; }
  /// Ranks, so many a machine, of so many bytes.
  std::vector<RankFacts> ranks(int count, int a_machine, std::uint64_t bytes) const {
    std::vector<RankFacts> all;
    for (int rank = 0; rank < count; ++rank) {
      RankFacts& one = all.emplace_back();
      one.host = "node" + std::to_string(1 + rank / a_machine);
      one.memory = bytes;
      one.memory_limit = "limit of cgroup /job";
    }
    return all;
  }
  std::uint64_t needed(std::size_t kind) const { return memory_of_ranks(question(), grid_)[kind].needed(); }

  ModelConfig model_ = model_preset("openmoe-nano");
  TrainConfig train_;
  ProcessGrid grid_{.data = 2};
};

TEST_F(RanksFit, WhereAMachineHasWhatTheyTakeTogether) {
  const std::uint64_t both = needed(0) + needed(1);
  EXPECT_EQ(fault_of_memory(question(), grid_, ranks(2, 2, both)), "");
  EXPECT_NE(fault_of_memory(question(), grid_, ranks(2, 2, both - 1)), "");
  EXPECT_EQ(fault_of_memory(question(), grid_, ranks(2, 1, needed(0))), "");
  EXPECT_NE(fault_of_memory(question(), grid_, ranks(2, 1, needed(0) - 1)), "");
}

TEST_F(RanksFit, AreRefusedWithTheTableAndWhatWouldFit) {
  const std::string fault = fault_of_memory(question(), grid_, ranks(2, 2, needed(0) + needed(1) - 1));
  for (const char* part :
       {"rank 0", "rank 1", "weights", "gradients", "lanes", "optimizer", "activations", "exchange", "checkpoint copy",
        "data", "program", "sum", "node1: 2 ranks take", "limit of cgroup /job",
        "these ranks fit with --set train.micro_rows=", "1 rank a machine fits", "--map-by ppr:1:node"})
    EXPECT_THAT(fault, HasSubstr(part));
}

/// What an advice says is so.
TEST_F(RanksFit, WithTheSettingsThatAreTold) {
  const std::vector<RankFacts> all = ranks(2, 2, needed(0) + needed(1) - 1);
  ASSERT_THAT(fault_of_memory(question(), grid_, all), HasSubstr("these ranks fit with --set train.micro_rows=2\n"));
  train_.micro_rows = 2;
  EXPECT_EQ(fault_of_memory(question(), grid_, all), "");
}

TEST_F(RanksFit, KnowTheSmallestGridThatDoes) {
  // Two stages have half of the layers each.
  const std::uint64_t of_stages = memory_of_ranks(question(), {.pipeline = 2})[0].needed();
  ASSERT_LT(of_stages, needed(0));
  EXPECT_THAT(
      fault_of_memory(question(), grid_, ranks(2, 1, needed(0) - 1)),
      HasSubstr("the smallest grid that fits is data 1 x expert 1 x tensor 1 x pipeline 2: 2 ranks, 1 a machine"));
}

TEST_F(RanksFit, SayWhenNothingHelps) {
  const std::string fault = fault_of_memory(question(), grid_, ranks(2, 2, 1'000'000));
  EXPECT_THAT(fault, HasSubstr("take a smaller [model], or machines with more memory"));
  EXPECT_THAT(fault, Not(HasSubstr("smallest grid")));
}

/// A limit of a process is no limit of its machine.
TEST_F(RanksFit, WithinEachProcesssOwnLimit) {
  std::vector<RankFacts> all = ranks(2, 2, 64'000'000'000);
  for (RankFacts& one : all) one.own_memory = needed(0);
  EXPECT_EQ(fault_of_memory(question(), grid_, all), "");
  all[1].own_memory = needed(1) - 1;
  EXPECT_THAT(fault_of_memory(question(), grid_, all), HasSubstr("rank 1 may take"));
}

}  // namespace
}  // namespace millrace
