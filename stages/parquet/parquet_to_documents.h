#pragma once

#include <memory>
#include <string>
#include <vector>

#include "stages/record_layout.h"
#include "stages/record_reader.h"

namespace millrace {

/// Reads one column of a Parquet file as documents, one query per row group, so that a damaged group loses only its own
/// rows: it gives one damaged_page reject, and record numbers continue after its rows. A text that is not UTF-8 loses
/// only its row. Filters are part of the query. Columns come from the file alone, under their own names. Otherwise like
/// open_shard. REQUIRES: the file begins with Parquet's magic. Throws ConfigError in a build without DuckDB, and for a
/// `where` that is wrong for this file; DataError if DuckDB runs out of memory.
std::unique_ptr<RecordReader> open_parquet(const std::string& path, const ReadOptions& options,
                                           std::uint64_t first_record);

/// Names of the columns; empty if the footer cannot be read.
std::vector<std::string> parquet_columns(const std::string& path);

}  // namespace millrace
