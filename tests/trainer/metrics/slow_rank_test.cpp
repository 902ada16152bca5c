#include "trainer/metrics/slow_rank.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Lines = std::vector<std::string>;

/// What is told in the steps from `first` on, `count` of them, all of which took so long.
Lines told(SlowRanks& ranks, std::uint64_t first, std::size_t count, const std::vector<double>& seconds) {
  Lines all;
  for (std::size_t i = 0; i < count; ++i)
    for (const std::string& line : ranks.add(first + i, seconds)) all.push_back(line);
  return all;
}

TEST(SlowRanks, AreToldOnceWhenTheyWereSlowForManyStepsInARow) {
  SlowRanks ranks({"node1", "node1", "node2", "node2"});
  EXPECT_EQ(told(ranks, 1, 379, {1, 1.1, 0.9, 1.19}), Lines());
  EXPECT_EQ(told(ranks, 380, 19, {1, 1, 1, 1.31}), Lines());
  EXPECT_EQ(ranks.add(399, {1, 1, 1, 1.31}),
            Lines{"rank 3 (node2) needs 1.31 x the median to compute, since step 380"});
  EXPECT_EQ(told(ranks, 400, 500, {1, 1, 1, 1.31}), Lines());
}

TEST(SlowRanks, AreToldAgainAfterTheyWereNotSlow) {
  SlowRanks ranks({"a", "b", "c"});
  EXPECT_EQ(told(ranks, 1, 20, {2, 1, 1}).size(), 1U);
  EXPECT_EQ(told(ranks, 21, 1, {1, 1, 1}), Lines());
  EXPECT_EQ(told(ranks, 22, 20, {2, 1, 1}), Lines{"rank 0 (a) needs 2.00 x the median to compute, since step 22"});
}

TEST(SlowRanks, MayBeSeveralOrOneOfTwo) {
  SlowRanks two({"a", "b"});
  EXPECT_EQ(told(two, 1, 20, {1, 1.5}), Lines{"rank 1 (b) needs 1.50 x the median to compute, since step 1"});
  SlowRanks five({});
  EXPECT_EQ(told(five, 1, 20, {1, 1.5, 1, 4, 1}), (Lines{"rank 1 needs 1.50 x the median to compute, since step 1",
                                                         "rank 3 needs 4.00 x the median to compute, since step 1"}));
}

TEST(SlowRanks, AreNoneInAStepNowAndThenOrOfOneProcess) {
  SlowRanks ranks({"a", "b", "c"});
  for (std::uint64_t step = 1; step < 400; ++step)
    EXPECT_EQ(ranks.add(step, {1, step % 20 == 0 ? 1.0 : 9.0, 1}), Lines());
  SlowRanks alone({});
  EXPECT_EQ(told(alone, 1, 30, {}), Lines());
}

}  // namespace
}  // namespace millrace
