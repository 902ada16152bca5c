#pragma once

#include <cstdint>

#include "stages/records.h"

namespace millrace {

/// Reads one shard's records in order. The container (zstd, gzip, plain lines, Parquet) is detected by content, not by
/// name. One object, one thread. Never throws for bad data: it is returned as Rejects. Blocks on disk reads.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  /// The next record, or false at the shard's end. A Reject for a part of the container (truncated, damaged_frame,
  /// trailing_garbage, damaged_page, ...) is not a record and does not count in RecordLocation::record.
  virtual bool next(Record& record) = 0;

  /// RecordLocation::record of the next record.
  virtual std::uint64_t next_record() const = 0;

  /// The last point at or before next_record() from which reading can resume. Depends on the shard's bytes only.
  virtual SeekPoint seek_point() const = 0;

  /// Fraction of the shard before the next record, 0 to 1; approximate in a compressed file.
  virtual double share_read() const = 0;

  /// Bytes of the file before the next record: exact in a plain file and where a frame begins, within a frame by the
  /// ratio of the file's beginning (ShardShape), in Parquet by rows. Depends on the shard's bytes only.
  virtual std::uint64_t file_bytes_read() const = 0;
};

}  // namespace millrace
