#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "stages/io/input_file.h"
#include "stages/parquet/parquet_footer.h"

namespace millrace {

/// Some columns of one row group as a Parquet file of its own, in memory: the pages as they are, and a footer that
/// calls texts bytes, so that a text that is not UTF-8 does not stand in the way of its neighbours. Gone with the
/// object.
class ParquetCopy {
 public:
  /// Throws ParquetFooterError if a page lies outside of the file or cannot be read, std::system_error if there is no
  /// memory for it.
  ParquetCopy(const InputFile& file, const ParquetFooter& footer, std::size_t group,
              const std::vector<std::size_t>& columns);
  ~ParquetCopy();
  ParquetCopy(const ParquetCopy&) = delete;
  ParquetCopy& operator=(const ParquetCopy&) = delete;

  std::string path() const;  ///< For this process only.

 private:
  ParquetChunk copy_pages(const InputFile& file, const ParquetChunk& chunk);
  void write(const char* bytes, std::size_t size);

  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace millrace
