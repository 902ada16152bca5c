#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trainer/distributed/communicator.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/plan/cluster.h"

namespace millrace {

/// How a cluster is measured.
struct ClusterMeasurement {
  std::string precision = "f32";  ///< Of products: "f32", "bf16".
  int threads = 1;                ///< Of this rank, which computes with them.
  int side = 2048;                ///< Of the matrices that are multiplied.
  double seconds = 1;             ///< About so long for each part; each is done a few times at least.
  /// Told before each part: how many are done, of how many.
  std::function<void(int done, int of, const std::string& what)> on_part = [](int, int, const std::string&) {};
};

/// What was found.
struct MeasuredCluster {
  Cluster cluster;
  std::vector<std::string> not_measured;  ///< A line each: what, and why.
};

/// Measures the machines of a job's ranks, which all call it at the same time and are told the same; a rank that is
/// alone measures itself. Of all ranks the slowest counts, while all work:
///   operations         the largest products that product_rate() finds
///   memory_bandwidth   128 MiB are copied by all threads, copy_bandwidth by one; fresh_bandwidth: 64 MiB are taken
///   latency            half a small message's way to another rank and back, a pair a machine or pair of machines
///   bandwidth          of 1 and 64 MiB that every rank sends to the others of its machine, or to those of all others,
///                      the difference; what 1 MiB takes beyond it is latency, too, where that is more
///   memory             what a machine has, divided by its ranks
MeasuredCluster measure_cluster(Communicator& ranks, const std::vector<RankFacts>& facts,
                                const ClusterMeasurement& how);

}  // namespace millrace
