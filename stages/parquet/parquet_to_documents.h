#pragma once

#include <memory>
#include <string>
#include <vector>

#include "stages/record_layout.h"
#include "stages/record_reader.h"

namespace millrace {

/// Reads one column of a Parquet file as documents, a query per row group, so that a damaged group costs only
/// itself: it gives one damaged_page, and the record numbers go on behind its rows. A text that is not UTF-8 costs its
/// row. Filters are part of the query. Columns come from the file alone, under their own names. As open_shard
/// otherwise. REQUIRES: the file begins with Parquet's magic. Throws ConfigError in a build without DuckDB, and for a
/// `where` that is wrong for this file; DataError where DuckDB has not memory enough.
std::unique_ptr<RecordReader> open_parquet(const std::string& path, const ReadOptions& options,
                                           std::uint64_t first_record);

/// Names of the columns; empty if the footer cannot be read.
std::vector<std::string> parquet_columns(const std::string& path);

}  // namespace millrace
