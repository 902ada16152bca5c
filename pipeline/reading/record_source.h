#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/reading/read_cursor.h"
#include "stages/records.h"

namespace millrace {

/// What reading a corpus yields, in order.
struct ReadRecord {
  enum class Kind : std::uint8_t { record, shard_end, epoch_end, corpus_end };
  Kind kind = Kind::record;
  ReadCursor place;                       ///< In a scan only `shard` is told.
  ScanCursor after;                       ///< Of a scan: where it goes on behind this.
  Record record;                          ///< Kind::record only.
  std::vector<LaneMove> ended_lanes;      ///< Lanes found at their end since the item before.
  std::vector<Reject> container_rejects;  ///< Damage met since the item before; these are no records.
};

/// A corpus in some order of reading. One thread at a time.
class RecordSource {
 public:
  virtual ~RecordSource() = default;
  /// False at the end, behind Kind::corpus_end. Blocks on disk reads. Throws what ends the job instead of more; the
  /// damage met before that, and its place, are in `item`.
  virtual bool next(ReadRecord& item) = 0;
};

}  // namespace millrace
