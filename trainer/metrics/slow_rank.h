#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// Finds ranks that compute more slowly than the others, step after step: a rank is slow in a step if it takes more
/// than kSlow times the median (the lower one of two). One thread.
class SlowRanks {
 public:
  static constexpr double kSlow = 1.2;
  static constexpr std::size_t kSteps = 20;  ///< In a row, after which it is told: once, until it was not slow again.

  /// `names`: the ranks' hosts, by number.
  explicit SlowRanks(std::vector<std::string> names) : names_(std::move(names)) {}

  /// `seconds`: that each rank computed in a step. What is to be told, a line for each rank that is found:
  /// "rank 37 (node5) needs 1.31 x the median to compute, since step 380".
  std::vector<std::string> add(std::uint64_t step, const std::vector<double>& seconds);

 private:
  struct Streak {
    std::size_t steps = 0;
    std::uint64_t first = 0;  ///< Step.
    double seconds = 0;       ///< Of the rank.
    double median = 0;        ///< Seconds of the median rank in the same steps.
  };
  std::vector<std::string> names_;
  std::vector<Streak> streaks_;
};

}  // namespace millrace
