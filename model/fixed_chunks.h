#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace millrace {

/// Loops over a range that give the same bits for any number of threads: chunks depend on the range's length alone,
/// each chunk is done by one thread, and the chunks' sums are added in order. Element-wise work uses the same chunks,
/// because the compiler may round the ends of a vectorised loop differently from its body (fused multiply-add).

/// term(begin) + ... + term(end - 1) in double, in eight interleaved sums so that the compiler may use vectors.
template <class Term>
double sum_of(std::int64_t begin, std::int64_t end, const Term& term) {
  constexpr std::int64_t kLanes = 8;
  std::array<double, kLanes> lanes{};
  std::int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[static_cast<std::size_t>(lane)] += term(i + lane);
  for (; i < end; ++i) lanes[0] += term(i);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

/// work(begin, end) for every chunk of `chunk_size` of [0, size), on all OpenMP threads. `work` must not throw.
template <class Work>
void parallel_chunks(std::int64_t size, std::int64_t chunk_size, const Work& work) {
  const std::int64_t chunks = (size + chunk_size - 1) / chunk_size;
#pragma omp parallel for schedule(static) if (chunks > 1)
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
    work(chunk * chunk_size, std::min(size, (chunk + 1) * chunk_size));
}

inline constexpr std::int64_t kChunk = 1 << 16;

/// The sum of term(i) over [0, size), on all OpenMP threads. REQUIRES: `term` calls no parallel_sum.
template <class Term>
double parallel_sum(std::int64_t size, const Term& term) {
  thread_local std::vector<double> memory;
  std::vector<double>& sums = memory;  // The calling thread's vector, shared with all threads.
  sums.assign(static_cast<std::size_t>((size + kChunk - 1) / kChunk), 0);
  parallel_chunks(size, kChunk, [&](std::int64_t begin, std::int64_t end) {
    sums[static_cast<std::size_t>(begin / kChunk)] = sum_of(begin, end, term);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace millrace
