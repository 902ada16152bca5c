#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "stages/records.h"

namespace millrace {

/// Where a record's text stands, and what of the record is kept.
struct RecordLayout {
  std::string text_field = "text";  ///< Dotted path in JSON; column name in Parquet.
};

/// The layouts users name: "redpajama", "the-stack", ... Throws ConfigError listing the known ones.
RecordLayout layout_named(const std::string& name);
/// The layout of a shard for which none was named, by its content: "the-stack" if there is a `content` and no `text`.
RecordLayout detect_layout(const std::string& shard);

/// Reads one shard's records in order. The container (zstd, gzip, plain lines, Parquet) is told by content, not by
/// name. One object, one thread. Never throws for bad data: that comes out as Rejects. Blocks on disk reads.
class RecordReader {
 public:
  struct Options {
    RecordLayout layout;
    std::uint64_t max_record_bytes = 64ull << 20;  ///< A longer line is rejected (too_long) without being held whole.
  };

  virtual ~RecordReader() = default;

  /// The next record, or false at the shard's end. A Reject of a container's part (truncated, damaged_frame,
  /// trailing_garbage, damaged_page, ...) is no record: it does not count in Where::record.
  virtual bool next(Record& record) = 0;

  /// Where::record of what next() yields next.
  virtual std::uint64_t next_record() const = 0;
};

/// Opens `path` so that the first record yielded is number `first_record` (or the end, if there are fewer).
/// A file that cannot be opened or is no container yields one Reject (unreadable, damaged_footer).
/// Rejects that lie before first_record are not yielded again.
std::unique_ptr<RecordReader> open_shard(const std::string& path, const RecordReader::Options& options,
                                         std::uint64_t first_record = 0);

}  // namespace millrace
