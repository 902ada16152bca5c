#include "trainer/distributed/rank_watch.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/orders.h"
#include "trainer/distributed/run_folder_check.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using Kind = Activity::Kind;

constexpr double kStall = 600;
constexpr double kNow = 10'000;

RankStatus status(int rank, double heard, const std::string& doing, double for_seconds) {
  return {.rank = rank,
          .ranks = 8,
          .host = "node" + std::to_string(rank),
          .process = 7,
          .time = heard,
          .step = 417,
          .doing = doing,
          .for_seconds = for_seconds,
          .awaits = {4, 5},
          .memory = 5};
}

TEST(RankWatch, SaysWhoWaitsForWhom) {
  const RankStatus mine = status(3, kNow, "gradients", 601);
  EXPECT_EQ(
      stall_of(mine, Kind::exchanges, {status(5, kNow - 1, "computes micro-batch 1 of 8", 620)}, kNow, 0, kStall),
      "rank 3 (node3) waits in step 417 for gradients of others since 601 s. rank 5 (node5): computes micro-batch 1 of "
      "8, in step 417, for 621 s");
  EXPECT_EQ(
      stall_of(mine, Kind::exchanges,
               {status(4, kNow - 2, "gradients", 601), status(5, kNow - 640, "computes micro-batch 1 of 8", 3)}, kNow,
               0, kStall),
      "rank 3 (node3) waits in step 417 for gradients of rank 5 (node5), which was last heard 640 s ago: computes "
      "micro-batch 1 of 8, in step 417");
}

TEST(RankWatch, LetsRanksWaitAsLongAsTheyMay) {
  const RankStatus other = status(5, kNow - 2, "computes", 5000);
  EXPECT_EQ(stall_of(status(3, kNow, "gradients", 599), Kind::exchanges, {other}, kNow, 0, kStall), "");
  EXPECT_EQ(stall_of(status(3, kNow, "orders", 5000), Kind::listens, {other}, kNow, 0, kStall), "");
  EXPECT_EQ(stall_of(status(3, kNow, "computes", 5000), Kind::works, {other}, kNow, 0, kStall), "");
  // What a job before left behind says nothing.
  EXPECT_EQ(stall_of(status(3, kNow, "orders", 1), Kind::listens, {status(0, 5, "", 5)}, kNow, kNow - 10, kStall), "");
}

TEST(RankWatch, MissesRanksThatNobodyWaitsFor) {
  EXPECT_EQ(
      stall_of(status(0, kNow, "saves", 5), Kind::works, {status(4, kNow - 650, "orders", 3)}, kNow, 0, kStall),
      "rank 0 (node0): saves, in step 417; it misses rank 4 (node4), which was last heard 650 s ago: orders, in step "
      "417");
}

TEST(RankWatch, HearsOfRank0WhileItListens) {
  EXPECT_THAT(
      stall_of(status(3, kNow, "orders", 700), Kind::listens, {status(0, kNow - 650, "reads", 5)}, kNow, 0, kStall),
      HasSubstr("of rank 0 (node0), which was last heard 650 s ago"));
}

TEST(RankWatch, FindsARankThatDoesNotCome) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "ranks");
  std::vector<RankFacts> facts(2);
  facts[0].host = facts[1].host = "here";
  std::string stall;
  test::with_ranks(2, [&](Communicator& ranks) {
    RankWatch watch(ranks, facts,
                    {.run_folder = folder.path(),
                     .stall_seconds = ranks.rank() == 0 ? 0.5 : 100,
                     .on_stall = [&](const std::string& what) { stall = what; }});
    std::byte byte{};
    if (ranks.rank() == 1) {
      ranks.activity().begin(Kind::works, "sleeps");
      std::this_thread::sleep_for(std::chrono::milliseconds(2500));
      ranks.wait(ranks.send({&byte, 1}, 0));
      return;
    }
    ranks.activity().begin(Kind::exchanges, "a byte");
    ranks.wait(ranks.receive({&byte, 1}, 1));
  });
  EXPECT_THAT(stall, HasSubstr("rank 0 (here) waits in step 0 for a byte"));
  EXPECT_THAT(stall, HasSubstr("rank 1 (here)"));
  const std::vector<RankStatus> all = read_statuses(folder.path());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].doing, "has ended");
}

TEST(RunFolderCheck, NamesWhoDoesNotSeeTheFolder) {
  const TemporaryFolder folder;
  test::with_ranks(3, [&](Communicator& ranks) {
    std::vector<RankFacts> facts(3);
    facts[2].host = "node7";
    if (ranks.rank() == 0) {
      tell_run(ranks, facts, {folder.path(), 5});
      EXPECT_FALSE(std::filesystem::exists(folder.path() / "ranks" / "seen"));
      try {
        tell_run(ranks, facts, {folder.path(), 5});
        ADD_FAILURE();
      } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 2 of 3 (node7) does not see " + folder.path().string()));
        EXPECT_THAT(error.what(), HasSubstr("a folder that all machines share"));
      }
      return;
    }
    std::string text;
    take_order(ranks, text);
    EXPECT_EQ(see_run(ranks, text).folder, folder.path());
    take_order(ranks, text);
    if (ranks.rank() == 2) text.replace(text.find("\"word\":\"") + 8, 1, "x");
    EXPECT_EQ(see_run(ranks, text).stall_seconds, 5);
  });
}

}  // namespace
}  // namespace millrace
