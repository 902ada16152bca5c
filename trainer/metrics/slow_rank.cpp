#include "trainer/metrics/slow_rank.h"

#include <algorithm>

#include <fmt/format.h>

namespace millrace {

std::vector<std::string> SlowRanks::add(std::uint64_t step, const std::vector<double>& seconds) {
  std::vector<std::string> told;
  if (seconds.size() < 2) return told;
  streaks_.resize(seconds.size());
  std::vector<double> sorted(seconds);
  std::ranges::sort(sorted);
  const double median = sorted[(sorted.size() - 1) / 2];
  for (std::size_t rank = 0; rank < seconds.size(); ++rank) {
    Streak& streak = streaks_[rank];
    if (seconds[rank] <= kSlow * median) {
      streak = {};
      continue;
    }
    if (streak.steps == 0) streak.first = step;
    ++streak.steps;
    streak.seconds += seconds[rank];
    streak.median += median;
    if (streak.steps != kSteps) continue;
    const std::string name =
        rank < names_.size() ? fmt::format("rank {} ({})", rank, names_[rank]) : fmt::format("rank {}", rank);
    told.push_back(fmt::format("{} needs {:.2f} x the median to compute, since step {}", name,
                               streak.seconds / streak.median, streak.first));
  }
  return told;
}

}  // namespace millrace
