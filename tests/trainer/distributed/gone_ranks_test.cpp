#include "trainer/distributed/gone_ranks.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

namespace millrace {
namespace {

constexpr auto kNobodyIsThere = [](std::int64_t) { return false; };

RankStatus status(int rank, bool is_told_to_end) {
  RankStatus one;
  one.rank = rank;
  one.ranks = 4;
  one.host = "node" + std::to_string(rank / 2);
  one.process = 100 + rank;
  one.step = 7;
  one.doing = "gradients";
  one.is_told_to_end = is_told_to_end;
  return one;
}

TEST(GoneRanks, AreThoseThatWereNotToldToEnd) {
  EXPECT_EQ(gone_ranks(status(0, true), {status(1, true), status(2, true), status(3, false)}, kNobodyIsThere),
            "gone without a word, killed or with a machine: rank 3 (node1), last heard in step 7: gradients");
  EXPECT_EQ(gone_ranks(status(0, true), {status(1, true), status(2, false), status(3, false)}, kNobodyIsThere),
            "gone without a word, killed or with a machine: rank 2 (node1), last heard in step 7: gradients; rank 3 "
            "(node1), last heard in step 7: gradients");
  EXPECT_EQ(gone_ranks(status(0, true), {status(1, true), status(2, true), status(3, true)}, kNobodyIsThere), "");
}

TEST(GoneRanks, AreNamedByTheFirstThatIsLeft) {
  EXPECT_EQ(gone_ranks(status(3, true), {status(0, false), status(1, true), status(2, true)}, kNobodyIsThere), "");
  EXPECT_THAT(gone_ranks(status(1, true), {status(0, false), status(2, true), status(3, true)}, kNobodyIsThere),
              testing::HasSubstr("rank 0 (node0)"));
}

TEST(GoneRanks, AreNotThoseThatHaveEndedOrAreSlowToWrite) {
  const auto is_101 = [](std::int64_t process) { return process == 101; };
  RankStatus ended = status(2, false);
  ended.has_ended = true;
  EXPECT_EQ(gone_ranks(status(0, true), {status(1, false), ended, status(3, true)}, is_101), "");
  const auto is_103 = [](std::int64_t process) { return process == 103; };
  EXPECT_THAT(gone_ranks(status(0, true), {status(1, true), ended, status(3, false)}, is_103),
              testing::HasSubstr("rank 3 (node1)"))
      << "a process of this machine says nothing of another machine's";
}

TEST(GoneRanks, AskTheSystemForProcesses) {
  EXPECT_TRUE(has_process(getpid()));
  EXPECT_TRUE(has_process(1));
  EXPECT_FALSE(has_process(1 << 30));
}

}  // namespace
}  // namespace millrace
