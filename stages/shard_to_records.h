#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stages/foreign_container.h"
#include "stages/record_layout.h"
#include "stages/records.h"

namespace millrace {

/// The layout of a shard for which none was named, by its content. A file called *.txt (.zst, .gz) whose first line is
/// no JSON object is one document (layout text). A shard that cannot be read: the default; open_shard says why.
RecordLayout detect_layout(const std::string& shard);

/// Reads one shard's records in order. The container (zstd, gzip, plain lines, Parquet) is told by content, not by
/// name. One object, one thread. Never throws for bad data: that comes out as Rejects. Blocks on disk reads.
class RecordReader {
 public:
  virtual ~RecordReader() = default;

  /// The next record, or false at the shard's end. A Reject of a container's part (truncated, damaged_frame,
  /// trailing_garbage, damaged_page, ...) is no record: it does not count in Where::record.
  virtual bool next(Record& record) = 0;

  /// Where::record of what next() yields next.
  virtual std::uint64_t next_record() const = 0;

  /// The last place at or before next_record() from which the shard can be read on. Depends on the shard's bytes only.
  virtual SeekPoint seek_point() const = 0;

  /// What part of the shard stands before the next record, 0 to 1; about, in a compressed file.
  virtual double share_read() const = 0;
};

/// Opens `path` so that the first record yielded is number `first_record` (or the end, if there are fewer). `from` is
/// a place that an earlier reader of the same bytes named, at or before that record: reading begins there.
/// A file that cannot be opened, is no container or one that is not read (see foreign_container) yields one Reject
/// (unreadable, damaged_footer). Rejects that lie before first_record are not yielded again.
/// Throws ConfigError if the filter has a `where` that the shard cannot answer: no Parquet, or a wrong expression.
std::unique_ptr<RecordReader> open_shard(const std::string& path, const ReadOptions& options,
                                         std::uint64_t first_record = 0, const SeekPoint& from = {});

/// Reads the records that come on standard input. Throws ConfigError if that is a foreign container, or Parquet, which
/// is not read from front to back.
std::unique_ptr<RecordReader> open_standard_input(const ReadOptions& options);

/// What a file is instead of a shard, by its beginning; empty: nothing that is known. `layout` is the one that was
/// named for it, or none. A file that cannot be read: empty; open_shard says why.
std::optional<ForeignContainer> foreign_shard(const std::string& path, const std::string& layout);

/// For what must see every record: throws DataError if this one tells that its shard cannot be read any further.
void expect_readable(const Record& record);

}  // namespace millrace
