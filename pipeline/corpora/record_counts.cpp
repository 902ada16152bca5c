#include "pipeline/corpora/record_counts.h"

#include <cstddef>
#include <numeric>

namespace millrace {

std::uint64_t RecordCounts::rejected_total() const {
  return std::accumulate(rejected.begin(), rejected.end(), std::uint64_t{0});
}

RecordCounts& RecordCounts::operator+=(const RecordCounts& other) {
  read += other.read;
  held_out += other.held_out;
  filtered += other.filtered;
  skipped += other.skipped;
  rejected_records += other.rejected_records;
  bytes += other.bytes;
  lost += other.lost;
  for (std::size_t cause = 0; cause < rejected.size(); ++cause) rejected[cause] += other.rejected[cause];
  shortened += other.shortened;
  dropped_tokens += other.dropped_tokens;
  return *this;
}

}  // namespace millrace
