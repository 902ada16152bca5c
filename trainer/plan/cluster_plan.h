#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/distributed/process_grid.h"
#include "trainer/plan/cluster.h"
#include "trainer/plan/exchange_plan.h"
#include "trainer/plan/memory_plan.h"
#include "trainer/plan/rank_memory.h"

namespace millrace {

/// A run that is to be spread over a cluster. Views.
struct ClusterQuestion {
  const MemoryQuestion& run;
  const Cluster& cluster;
  int ranks = 1;
  double positions = 0;  ///< Of the whole run.
};

/// What a run takes in one grid.
struct GridPlan {
  ProcessGrid grid;
  /// Keys of [train] that it needs and the run does not have: "train.lanes=8".
  std::vector<std::string> settings;

  std::vector<RankMemory> memories;  ///< memory_of_ranks()
  std::vector<ExchangePlan> exchanges;
  double compute = 0;  ///< Seconds a step of products, as if the pipeline were always full.
  double bubble = 0;   ///< Of waiting for its other stages.
  double update = 0;   ///< Of reading and writing weights, gradients and state.
  double step = 0;     ///< All of them together: nothing is hidden behind anything.
  double positions_per_second = 0;
  double days = 0;  ///< For the run.

  std::string excluded;   ///< Why it cannot be; empty: it can.
  std::string not_built;  ///< What of it this program cannot do yet; empty: nothing.

  bool fits() const { return excluded.empty(); }
  const RankMemory& memory() const { return largest_memory(memories); }  ///< REQUIRES: there are some.
};

/// Seconds, by part:
///   compute  micro-batches of a replica x the dearest stage's products (product_operations; a third more if layers are
///            recomputed) / the cluster's operations, every position with a loss and every expert full
///   bubble   (pipeline - 1) x that of one micro-batch, its exchanges between experts and stages included
///   update   (20 bytes x owned numbers + 8 x all that the rank has, which are summed and rounded) / memory bandwidth
/// and those of the exchanges (plan_exchanges). Where the run says lanes = expert_lanes = 1, a grid takes as many as it
/// needs; `recompute` is added where nothing else fits.
GridPlan plan_grid(const ClusterQuestion& question, const ProcessGrid& grid);

/// All grids of so many ranks without tensor parallelism, or the one that is wished for: those that fit first, the
/// fastest of them before others, then the excluded ones. Throws ConfigError for a wish that is no grid of the ranks,
/// and for a link that the cluster does not tell.
std::vector<GridPlan> plan_cluster(const ClusterQuestion& question, const std::optional<GridWish>& wish = {});

}  // namespace millrace
