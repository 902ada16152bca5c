#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "trainer/plan/cluster_plan.h"
#include "trainer/plan/measure_cluster.h"

namespace millrace {

/// The grids of a run on a cluster, for `plan-cluster`.
struct ClusterView {
  std::string run;  ///< Its name.
  const ClusterQuestion& question;
  const std::vector<GridPlan>& plans;
  std::size_t best = 0;  ///< So many of those that fit are shown; 0: all.

  std::string text() const;
  std::string json() const;
};

/// A cluster that was measured, as a file that read_cluster() reads, or as JSON.
struct MeasuredClusterView {
  const MeasuredCluster& found;
  std::string ranks;  ///< Who measured: text_of_ranks().

  std::string text() const;
  std::string json() const;
};

}  // namespace millrace
