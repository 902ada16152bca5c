#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stages/record_layout.h"
#include "stages/record_reader.h"
#include "stages/records.h"
#include "stages/shards/foreign_container.h"

namespace millrace {

/// Detects the layout of a shard by its content. A file called *.txt (.zst, .gz) whose first line is no JSON object is
/// one document (layout text). For a shard that cannot be read: the default layout; open_shard reports why.
RecordLayout detect_layout(const std::string& shard);

/// Opens `path` so that the first record yielded is number `first_record` (or the end, if there are fewer). `from` is
/// a place that an earlier reader of the same bytes named, at or before that record: reading begins there.
/// A file that cannot be opened, or is a foreign container (see foreign_container), yields one Reject (unreadable,
/// damaged_footer). Rejects that lie before first_record are not yielded again. Throws ConfigError if the filter has a
/// `where` that the shard cannot answer: no Parquet, or a wrong expression.
std::unique_ptr<RecordReader> open_shard(const std::string& path, const ReadOptions& options,
                                         std::uint64_t first_record = 0, const SeekPoint& from = {});

/// Reads the records that come on standard input. Throws ConfigError if that is a foreign container, or Parquet, which
/// cannot be read sequentially.
std::unique_ptr<RecordReader> open_standard_input(const ReadOptions& options);

/// The foreign container that a file is, by its beginning; empty if none is recognised. `layout` is the one that was
/// named for it, or none. A file that cannot be read: empty; open_shard says why.
std::optional<ForeignContainer> foreign_shard(const std::string& path, const std::string& layout);

/// For callers that must see every record: throws DataError if this one means that the rest of its shard cannot be
/// read.
void expect_readable(const Record& record);

}  // namespace millrace
