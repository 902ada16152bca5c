#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "pipeline/formats/rows_provenance.h"
#include "pipeline/rows/stream_row.h"
#include "stages/io/input_file.h"

namespace millrace {

/// A part of the format `rows`: consecutive rows of the same size, followed by their provenance. The layout, byte by
/// byte, is in docs/preprocess.md.
struct RowsPartHeader {
  static constexpr std::uint64_t kBytes = 96;
  static constexpr std::uint32_t kVersion = 2;

  std::uint32_t stream_version = kStreamVersion;
  std::uint64_t first_row = 0;
  std::uint64_t rows = 0;
  std::uint32_t length = 0;         ///< T
  std::uint64_t vocabulary = 0;     ///< Its hash, as a number.
  std::uint64_t run = 0;            ///< hash_of_facts, as a number.
  std::uint64_t provenance_at = 0;  ///< Offset in the file.
  std::uint64_t provenance_bytes = 0;
  std::uint64_t provenance_size = 0;  ///< After decompression.
  std::uint64_t provenance_hash = 0;  ///< xxh3_64 of the compressed bytes.

  std::uint64_t row_bytes() const { return bytes_of_row(length); }
  std::uint64_t offset_of(std::uint64_t row) const { return kBytes + (row - first_row) * row_bytes(); }
  static std::uint64_t bytes_of_row(std::uint64_t length) { return 20 * length + 8; }
};

/// 16 hex digits as a number. Throws DataError if they are none.
std::uint64_t number_of_hash(const std::string& hex);

/// Builds a part in memory. add() REQUIRES consecutive rows of the same length.
class RowsPart {
 public:
  explicit RowsPart(const RowsPartHeader& header) : header_(header) {}

  void add(const StreamRow& row);
  std::uint64_t rows() const { return header_.rows; }
  std::uint64_t row_bytes() const { return rows_.size(); }  ///< Of all rows so far.
  /// The whole file, in pieces that stand one behind another. The part is used up.
  std::array<std::string, 3> pieces();

 private:
  RowsPartHeader header_;
  std::string rows_;
  RowsProvenance provenance_;
};

/// Reads rows of a part in any order. One object, one thread. Throws DataError naming the byte if the file is damaged;
/// std::system_error.
class RowsPartReader {
 public:
  explicit RowsPartReader(const std::filesystem::path& file);

  const RowsPartHeader& header() const { return header_; }
  /// REQUIRES: the part has the row.
  StreamRow row(std::uint64_t number);

 private:
  void read_provenance();

  std::string name_;
  InputFile file_;
  RowsPartHeader header_;
  std::optional<RowsProvenanceReader> provenance_;  ///< Not read until first needed.
};

}  // namespace millrace
