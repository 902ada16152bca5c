#include "trainer/plan/measure_cluster.h"

#include <cmath>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>

#include "tests/temporary_folder.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/one_rank.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMemory = 16'000'000'000;

std::vector<RankFacts> on_machines(int ranks, int a_machine) {
  std::vector<RankFacts> all(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    all[static_cast<std::size_t>(rank)].host = "node" + std::to_string(rank / a_machine);
    all[static_cast<std::size_t>(rank)].memory = kMemory;
  }
  return all;
}

/// What each rank is told, and rank 0's parts.
struct Measured {
  std::vector<MeasuredCluster> by_rank;
  std::vector<int> done;
  int parts = 0;
};
Measured measure(int ranks, int a_machine) {
  Measured measured;
  measured.by_rank.resize(static_cast<std::size_t>(ranks));
  const std::vector<RankFacts> facts = on_machines(ranks, a_machine);
  test::with_ranks(ranks, [&](Communicator& all) {
    omp_set_num_threads(1);
    ClusterMeasurement how{.side = 256, .seconds = 0.01};
    if (all.rank() == 0)
      how.on_part = [&](int done, int of, const std::string& what) {
        EXPECT_FALSE(what.empty());
        measured.done.push_back(done);
        measured.parts = of;
      };
    measured.by_rank[static_cast<std::size_t>(all.rank())] = measure_cluster(all, facts, how);
  });
  return measured;
}

void expect_a_link(const Link& link) {
  EXPECT_GT(link.latency, 0);
  EXPECT_LT(link.latency, 1);
  EXPECT_GT(link.bandwidth, 1e6);
  EXPECT_LT(link.bandwidth, 1e13);
}

TEST(MeasureCluster, TellsAllRanksTheSameOfBothLinks) {
  const Measured measured = measure(4, 2);
  const Cluster& cluster = measured.by_rank.front().cluster;
  EXPECT_EQ(cluster.ranks_per_machine, 2);
  EXPECT_EQ(cluster.memory, kMemory / 2);
  for (const double rate :
       {cluster.operations, cluster.memory_bandwidth, cluster.copy_bandwidth, cluster.fresh_bandwidth}) {
    EXPECT_GT(rate, 1e6);
    EXPECT_TRUE(std::isfinite(rate));
  }
  expect_a_link(cluster.inside);
  expect_a_link(cluster.between);
  EXPECT_TRUE(measured.by_rank.front().not_measured.empty());
  for (const MeasuredCluster& one : measured.by_rank) EXPECT_EQ(cluster_toml(one.cluster), cluster_toml(cluster));
  for (int i = 0; i <= measured.parts; ++i) EXPECT_EQ(measured.done[static_cast<std::size_t>(i)], i);
}

TEST(MeasureCluster, SaysWhatItDidNotMeasure) {
  const MeasuredCluster one_machine = measure(2, 2).by_rank.front();
  expect_a_link(one_machine.cluster.inside);
  EXPECT_FALSE(one_machine.cluster.between.is_known());
  EXPECT_THAT(one_machine.not_measured, testing::ElementsAre(HasSubstr("[between]")));

  const MeasuredCluster two_machines = measure(2, 1).by_rank.front();
  expect_a_link(two_machines.cluster.between);
  EXPECT_FALSE(two_machines.cluster.inside.is_known());
  EXPECT_THAT(two_machines.not_measured, testing::ElementsAre(HasSubstr("[inside]")));

  OneRank alone;
  const MeasuredCluster one = measure_cluster(alone, on_machines(1, 1), {.side = 256, .seconds = 0.01});
  EXPECT_GT(one.cluster.operations, 0);
  EXPECT_THAT(one.not_measured, testing::ElementsAre(HasSubstr("[inside]"), HasSubstr("[between]")));

  EXPECT_THAT(measure(3, 2).by_rank.front().not_measured, testing::Contains(HasSubstr("1 to 2 ranks")));
}

TEST(MeasureCluster, IsReadBackFromItsFile) {
  const Cluster cluster = measure(2, 2).by_rank.front().cluster;
  const TemporaryFolder folder;
  const Cluster again = read_cluster(folder.write("cluster.toml", cluster_toml(cluster)).string());
  EXPECT_EQ(cluster_toml(again), cluster_toml(cluster));
  EXPECT_EQ(again.inside.bandwidth, cluster.inside.bandwidth);
  EXPECT_EQ(again.copy_bandwidth, cluster.copy_bandwidth);
}

}  // namespace
}  // namespace millrace
