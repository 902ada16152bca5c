#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>

#include "model/stop.h"

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

/// Keeps the first exception of several threads, to be rethrown after they are joined: exceptions must not leave a
/// parallel region.
class FirstFailure {
 public:
  template <class Work>
  void guard(const Work& work) noexcept {
    try {
      work();
    } catch (...) {
#pragma omp critical(millrace_first_failure)
      if (failure_ == nullptr) failure_ = std::current_exception();
    }
  }
  /// REQUIRES: the threads are joined.
  void rethrow() const {
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
};

/// As for_ranges, for ranges that take long or can fail: what `work` throws is thrown when all are done (the first of
/// several). Once a stop is requested no further range is begun, and Stopped is thrown.
template <class Work>
void for_long_ranges(std::int64_t count, std::int64_t grain, const Work& work) {
  const std::int64_t ranges = range_count(count, grain);
  FirstFailure failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t range = 0; range < ranges; ++range) {
    failure.guard([&] {
      if (!stop_requested()) work(range * grain, std::min(count, (range + 1) * grain));
    });
  }
  failure.rethrow();
  throw_if_stopped();
}

}  // namespace millrace
