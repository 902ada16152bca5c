#include "trainer/distributed/rank_watch.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

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

RankStatus status(int rank, const std::string& doing, double for_seconds, std::vector<int> awaits = {4, 5}) {
  return {.rank = rank,
          .ranks = 8,
          .host = "node" + std::to_string(rank),
          .process = 7,
          .time = 1e9 * rank,  // Clocks of machines have nothing in common.
          .beats = 9,
          .has_ended = false,
          .is_told_to_end = false,
          .step = 417,
          .doing = doing,
          .for_seconds = for_seconds,
          .awaits = std::move(awaits),
          .memory = 5};
}

HeardRank heard(double silent, RankStatus status) {
  return {std::move(status), silent, true};
}

TEST(RankWatch, SaysWhoWaitsForWhom) {
  const RankStatus mine = status(3, "gradients", 601);
  EXPECT_EQ(stall_of(mine, Kind::exchanges, {heard(1, status(5, "computes micro-batch 1 of 8", 620, {}))}, kStall),
            "rank 3 (node3) waits in step 417 for gradients of others since 601 s. rank 5 (node5): computes "
            "micro-batch 1 of 8, in step 417, for 621 s");
  EXPECT_EQ(stall_of(mine, Kind::exchanges,
                     {heard(2, status(4, "gradients", 601)), heard(640, status(5, "computes micro-batch 1 of 8", 3))},
                     kStall),
            "rank 3 (node3) waits in step 417 for gradients of rank 5 (node5), which was last heard 640 s ago: "
            "computes micro-batch 1 of 8, in step 417");
}

TEST(RankWatch, BlamesOneThatIsSilentForHalfOfALongWait) {
  const std::vector<HeardRank> others = {heard(1, status(4, "gradients", 601)), heard(301, status(5, "computes", 3))};
  EXPECT_THAT(stall_of(status(3, "gradients", 601), Kind::exchanges, others, kStall),
              HasSubstr("of rank 5 (node5), which was last heard 301 s ago"));
  EXPECT_EQ(stall_of(status(3, "gradients", 599), Kind::exchanges, others, kStall), "");
}

TEST(RankWatch, LetsRanksWaitAsLongAsTheyMay) {
  const HeardRank other = heard(2, status(5, "computes", 5000));
  EXPECT_EQ(stall_of(status(3, "gradients", 599), Kind::exchanges, {other}, kStall), "");
  EXPECT_EQ(stall_of(status(3, "orders", 5000), Kind::listens, {other}, kStall), "");
  EXPECT_EQ(stall_of(status(3, "computes", 5000), Kind::works, {other}, kStall), "");
}

TEST(RankWatch, MissesRanksThatNobodyWaitsFor) {
  EXPECT_EQ(stall_of(status(0, "saves", 5), Kind::works, {heard(650, status(4, "orders", 3))}, kStall),
            "rank 0 (node0): saves, in step 417; it misses rank 4 (node4), which was last heard 650 s ago: orders, in "
            "step 417");
}

TEST(RankWatch, HearsOfRank0WhileItListens) {
  EXPECT_THAT(stall_of(status(3, "orders", 700), Kind::listens, {heard(650, status(0, "reads", 5))}, kStall),
              HasSubstr("of rank 0 (node0), which was last heard 650 s ago"));
}

TEST(RankWatch, SaysWhenAllRanksWaitForEachOther) {
  const RankStatus mine = status(0, "gradients", 601);
  std::vector<HeardRank> others;
  for (int rank = 1; rank < 8; ++rank) others.push_back(heard(1, status(rank, "gradients", 600)));
  EXPECT_EQ(stall_of(mine, Kind::exchanges, others, kStall),
            "rank 0 (node0) waits in step 417 for gradients of others since 601 s. All ranks are there and wait for "
            "each other, this one for 4, 5: is the network between them gone?");
  others[3] = heard(1, status(4, "gradients", 3));
  EXPECT_THAT(stall_of(mine, Kind::exchanges, others, kStall),
              HasSubstr("rank 4 (node4): gradients, in step 417, for 4"))
      << "it came a moment ago and may still be served";
  others[3] = heard(1, status(4, "computes", 600, {}));
  EXPECT_THAT(stall_of(mine, Kind::exchanges, others, kStall), HasSubstr("rank 4 (node4): computes"));
}

TEST(RankListener, GoesByItsOwnClockAlone) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "ranks");
  const auto write = [&](int rank, std::uint64_t beats, bool has_ended = false) {
    RankStatus one = status(rank, "computes", 5);
    one.ranks = 3;
    one.beats = beats;
    one.has_ended = has_ended;
    write_status(rank_file(folder.path(), rank, "status"), one);
  };
  constexpr std::chrono::milliseconds kMoment(50);
  write(1, 7);
  RankListener listener(folder.path());
  EXPECT_EQ(listener.hear(2, status(2, "has told nothing yet", 0)).status.doing, "has told nothing yet");
  EXPECT_FALSE(listener.hear(1, {}).is_beating) << "a job before may have left it";
  std::this_thread::sleep_for(kMoment);
  EXPECT_GE(listener.hear(1, {}).silent, 0.05);
  EXPECT_GE(listener.hear(2, {}).silent, 0.05);
  write(1, 8);
  EXPECT_LT(listener.hear(1, {}).silent, 0.05);
  EXPECT_TRUE(listener.hear(1, {}).is_beating);
  write(0, 3);
  write(2, 5, true);
  const auto began = std::chrono::steady_clock::now();
  const std::vector<HeardRank> all = listen_to_ranks(folder.path(), 4 * kMoment);
  EXPECT_GE(std::chrono::steady_clock::now() - began, 4 * kMoment);
  ASSERT_EQ(all.size(), 3U);
  for (const HeardRank& one : all) EXPECT_FALSE(one.is_beating);
  for (int rank = 0; rank < 2; ++rank) write(rank, 9, true);
  EXPECT_EQ(listen_to_ranks(folder.path(), std::chrono::hours(1)).size(), 3U) << "nobody is left to listen to";
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
  EXPECT_TRUE(all[1].has_ended);
  EXPECT_GE(all[1].beats, 2U);
}

/// Three ranks of which the last is told nothing: on another machine it is gone, on this one it is but slow.
std::string gone(const std::string& host_of_last) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "ranks");
  std::vector<RankFacts> facts(3);
  facts[0].host = facts[1].host = "here";
  facts[2].host = host_of_last;
  for (RankFacts& one : facts) one.process = getpid();
  std::vector<std::string> said(3);
  test::with_ranks(3, [&](Communicator& ranks) {
    const int rank = ranks.rank();
    RankWatch watch(ranks, facts,
                    {.run_folder = folder.path(),
                     .stall_seconds = kStall,
                     .on_stall = [](const std::string& what) { ADD_FAILURE() << what; },
                     .is_told_to_end = [rank] { return rank < 2; },
                     .on_gone = [&said, rank](const std::string& who) { said[static_cast<std::size_t>(rank)] = who; }});
    std::this_thread::sleep_for(std::chrono::seconds(1));
  });
  EXPECT_EQ(said[1] + said[2], "") << "one tells it";
  return said[0];
}

TEST(RankWatch, NamesARankThatIsGoneWhenTheOthersAreToldToEnd) {
  EXPECT_EQ(gone("there"),
            "gone without a word, killed or with a machine: rank 2 (there), last heard in step 0: starts");
  EXPECT_EQ(gone("here"), "");
}

TEST(RankStatus, IsRemovedWithThoseOfTheJob) {
  const TemporaryFolder folder;
  remove_statuses(folder.path());  // There are none.
  std::filesystem::create_directories(folder.path() / "ranks");
  for (int rank = 0; rank < 3; ++rank)
    write_status(rank_file(folder.path(), rank, "status"), status(rank, "computes", 5));
  const std::filesystem::path log = rank_file(folder.path(), 1, "log");
  std::ofstream(log) << "stays";
  EXPECT_EQ(read_statuses(folder.path()).size(), 3U);
  remove_statuses(folder.path());
  EXPECT_TRUE(read_statuses(folder.path()).empty());
  EXPECT_TRUE(std::filesystem::exists(log));
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
