#pragma once

#include <string>
#include <string_view>

#include "stages/parquet/parquet_footer.h"

namespace millrace {

/// Parquet's old LZ4, which DuckDB does not read: blocks preceded by their sizes, as Hadoop writes them, or one bare
/// block per page.
inline constexpr int kParquetOldLz4 = 5;

/// Decompresses the pages of `chunk`, and changes `chunk` to describe the result at the same offset. REQUIRES:
/// chunk.codec is kParquetOldLz4. Throws ParquetFooterError if the pages are malformed.
std::string unpack_lz4_pages(std::string_view pages, ParquetChunk& chunk);

}  // namespace millrace
