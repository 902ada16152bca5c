#include "trainer/distributed/rank_facts.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/trainer/distributed/thread_ranks.h"

namespace millrace {
namespace {

using testing::HasSubstr;

std::vector<RankFacts> alike(int ranks, int a_machine, int cores = 8) {
  std::vector<RankFacts> all;
  for (int rank = 0; rank < ranks; ++rank)
    all.push_back({.host = "node" + std::to_string(1 + rank / a_machine),
                   .process = 100 + rank,
                   .program = "0.1.0 (00ff)",
                   .processor = "avx512_bf16, a model",
                   .cores = cores,
                   .allowed = cores,
                   .threads = 0,
                   .memory = 64'000'000'000});
  return all;
}

TEST(RankFacts, AreKnownToAllRanks) {
  test::with_ranks(3, [](Communicator& ranks) {
    RankFacts mine = facts_of_this_rank();
    EXPECT_FALSE(mine.host.empty());
    EXPECT_GT(mine.cores, 0);
    EXPECT_GT(mine.allowed, 0);
    EXPECT_EQ(mine.program.size(), 16U);
    mine.host = "host " + std::to_string(ranks.rank());
    mine.memory = 1ULL << 63U;
    const std::vector<RankFacts> all = exchange_facts(ranks, mine);
    ASSERT_EQ(all.size(), 3U);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].host, "host " + std::to_string(i));
    EXPECT_EQ(all[1].memory, 1ULL << 63U);
  });
}

TEST(RankFacts, FitTogetherWhereAllAreAlike) {
  EXPECT_EQ(fault_of_ranks(alike(8, 4)), "");
  EXPECT_EQ(warning_of_ranks(alike(8, 4)), "");
  EXPECT_EQ(text_of_ranks(alike(8, 4)),
            "8 ranks on 2 machines (node1, node2; 4 each), avx512_bf16, a model, 2 threads each");
  EXPECT_EQ(text_of_ranks(alike(2, 2)), "2 ranks on 1 machine (node1), avx512_bf16, a model, 4 threads each");
  EXPECT_EQ(text_of_ranks(alike(64, 8, 16)),
            "64 ranks on 8 machines (node1..node8; 8 each), avx512_bf16, a model, 2 threads each");
}

TEST(RankFacts, NameTheRankThatIsOfAnotherKind) {
  std::vector<RankFacts> all = alike(8, 4);
  all[6].processor = "avx2, another";
  EXPECT_EQ(
      fault_of_ranks(all),
      "rank 6 of 8 (node2) has processor avx2, another, rank 0 of 8 (node1) has avx512_bf16, a model. Results would "
      "depend on who computes what: start the same program on machines of one kind");
  all = alike(8, 4);
  all[0].program = "0.2.0 (00ee)";
  EXPECT_THAT(fault_of_ranks(all),
              HasSubstr("rank 0 of 8 (node1) has program 0.2.0 (00ee), rank 1 of 8 (node1) has 0.1.0"));
}

TEST(RankFacts, TellOfALauncherThatBinds) {
  std::vector<RankFacts> all = alike(2, 2, 64);
  all[1].allowed = 1;
  EXPECT_EQ(fault_of_ranks(all), "");
  EXPECT_EQ(
      warning_of_ranks(all),
      "rank 1 of 2 (node1) is bound to 1 of 64 cores by its launcher, and there are 32 for it; start with --bind-to "
      "none");
  EXPECT_EQ(threads_of(all, 0), 32);
  EXPECT_EQ(threads_of(all, 1), 1);
  all[1].threads = 16;
  EXPECT_EQ(
      fault_of_ranks(all),
      "rank 1 of 2 (node1) is bound to 1 of 64 cores by its launcher, but --threads asks for 16; start with --bind-to "
      "none");
}

/// Each says what is left, and what it holds itself.
TEST(RankFacts, AddUpWhatAMachineHasForItsRanks) {
  std::vector<RankFacts> all = alike(4, 2);
  for (RankFacts& one : all) one.held = 1'000'000'000;
  all[3].memory = 30'000'000'000;
  const std::vector<RankMachine> machines = machines_of(all);
  ASSERT_EQ(machines.size(), 2U);
  EXPECT_EQ(machines[1].ranks, (std::vector<int>{2, 3}));
  EXPECT_EQ(memory_of_machine(machines[0], all), 65'000'000'000U);
  EXPECT_EQ(memory_of_machine(machines[1], all), 31'000'000'000U);
}

}  // namespace
}  // namespace millrace
