#include "trainer/distributed/communicator.h"

#include <gtest/gtest.h>

#include "tests/trainer/distributed/communicator_checks.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/one_rank.h"

namespace millrace {
namespace {

using namespace test;

constexpr std::size_t kSmall = 3000;

TEST(ThreadRanks, GetTheBytesThatWereSentToThem) {
  for (const int ranks : {1, 2, 3, 4, 8}) {
    SCOPED_TRACE(ranks);
    with_ranks(ranks, [](Communicator& all) {
      for (int seed = 0; seed < 20; ++seed) check_operations(all, seed, kSmall);
      for (int seed = 0; seed < 5; ++seed) check_operations(all, seed, 2);  // Half of the messages are of no bytes.
    });
  }
}

TEST(ThreadRanks, HaveManyMessagesInWork) {
  for (const int ranks : {1, 2, 4, 8})
    with_ranks(ranks, [](Communicator& all) { check_many_in_flight(all, 5, kSmall); });
}

TEST(ThreadRanks, WorkInGroups) {
  for (const int ranks : {2, 3, 4, 8}) with_ranks(ranks, [](Communicator& all) { check_groups(all, 9); });
}

TEST(ThreadRanks, CountBytes) {
  for (const int ranks : {1, 2, 4}) with_ranks(ranks, [](Communicator& all) { check_traffic(all); });
}

TEST(ThreadRanks, EndWhenOneFails) {
  EXPECT_THROW(with_ranks(3,
                          [](Communicator& all) {
                            if (all.rank() == 1) throw std::invalid_argument("the second");
                            check_operations(all, 1, kSmall);
                          }),
               std::invalid_argument);
}

TEST(ThreadRanks, WaitForNobodyElsesBytes) {
  with_ranks(2, [](Communicator& all) {
    if (all.rank() == 1) return;
    std::byte byte{};
    const Pending pending = all.receive({&byte, 1}, 1);
    EXPECT_EQ(all.awaited(), (std::vector<int>{1}));
    static_cast<void>(pending);
  });
}

TEST(OneRank, HasWhatItGivesItself) {
  OneRank alone;
  check_operations(alone, 3, kSmall);
  check_many_in_flight(alone, 4, kSmall);
  check_traffic(alone);
  EXPECT_EQ(alone.group(5, 5)->size(), 1);
  std::byte byte{};
  EXPECT_THROW(alone.send({&byte, 1}, 0), std::logic_error);
}

}  // namespace
}  // namespace millrace
