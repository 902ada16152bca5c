#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "stages/io/input_file.h"
#include "stages/parquet/parquet_footer.h"

namespace millrace {

/// Some columns of one row group as a Parquet file of its own, in memory: unchanged pages, and a footer that declares
/// texts as bytes, so that one text that is not UTF-8 does not make the others unreadable. Freed by the destructor.
class ParquetCopy {
 public:
  /// Throws ParquetFooterError if a page lies outside the file or cannot be read, std::system_error if there is not
  /// enough memory.
  ParquetCopy(const InputFile& file, const ParquetFooter& footer, std::size_t group,
              const std::vector<std::size_t>& columns);
  ~ParquetCopy();
  ParquetCopy(const ParquetCopy&) = delete;
  ParquetCopy& operator=(const ParquetCopy&) = delete;

  std::string path() const;  ///< Valid in this process only.

 private:
  ParquetChunk copy_pages(const InputFile& file, const ParquetChunk& chunk);
  void write(const char* bytes, std::size_t size);

  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace millrace
