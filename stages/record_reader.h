#pragma once

#include <cstdint>

#include "stages/records.h"

namespace millrace {

/// Reads one shard's records in order. The container (zstd, gzip, plain lines, Parquet) is told by content, not by
/// name. One object, one thread. Never throws for bad data: that comes out as Rejects. Blocks on disk reads.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  /// The next record, or false at the shard's end. A Reject of a container's part (truncated, damaged_frame,
  /// trailing_garbage, damaged_page, ...) is no record: it does not count in RecordLocation::record.
  virtual bool next(Record& record) = 0;

  /// RecordLocation::record of what next() yields next.
  virtual std::uint64_t next_record() const = 0;

  /// The last place at or before next_record() from which the shard can be read on. Depends on the shard's bytes only.
  virtual SeekPoint seek_point() const = 0;

  /// What part of the shard stands before the next record, 0 to 1; about, in a compressed file.
  virtual double share_read() const = 0;
};

}  // namespace millrace
