#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace {

/// How many ranges for_ranges makes: a function of the arguments, never of the number of threads.
constexpr std::int64_t range_count(std::int64_t count, std::int64_t grain) {
  return (count + grain - 1) / grain;
}

/// Calls work(begin, end) for consecutive ranges of `grain` items (the last may be shorter), on all OpenMP threads.
/// Because the ranges do not depend on the threads, sums kept per range give the same bits on any number of them.
/// REQUIRES: work throws nothing and writes nothing another range reads.
template <class Work>
void for_ranges(std::int64_t count, std::int64_t grain, const Work& work) {
  const std::int64_t ranges = range_count(count, grain);
#pragma omp parallel for schedule(static)
  for (std::int64_t range = 0; range < ranges; ++range) {
    work(range * grain, std::min(count, (range + 1) * grain));
  }
}

}  // namespace millrace
