#pragma once

#include <string>
#include <string_view>

#include "stages/parquet/parquet_footer.h"

namespace millrace {

/// Parquet's old LZ4, which DuckDB does not read: blocks with their sizes before them, as Hadoop writes them, or one
/// bare block a page.
inline constexpr int kParquetOldLz4 = 5;

/// The pages of `chunk`, unpacked; it is changed to describe them, as if they began where they did.
/// REQUIRES: chunk.codec is kParquetOldLz4. Throws ParquetFooterError for what is no such page.
std::string unpack_lz4_pages(std::string_view pages, ParquetChunk& chunk);

}  // namespace millrace
