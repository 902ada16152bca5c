#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "trainer/plan/cluster_plan.h"

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

}  // namespace millrace
