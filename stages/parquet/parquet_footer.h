#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "stages/io/input_file.h"

namespace millrace {

/// The first and the last four bytes of a Parquet file.
inline constexpr std::string_view kParquetMagic = "PAR1";

/// A Parquet file's footer, which describes its contents, cannot be read. The message says why.
struct ParquetFooterError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A node of the schema, which is a list: children follow their parent.
struct ParquetNode {
  std::string name;
  std::optional<std::int64_t> type = {};  ///< Of a leaf, by Parquet's numbers; 6 is BYTE_ARRAY.
  std::optional<std::int64_t> type_length = {};
  std::optional<std::int64_t> repetition = {};  ///< 0 required, 1 optional, 2 repeated.
  std::uint64_t children = 0;
  std::optional<std::int64_t> converted_type = {};
  std::optional<std::int64_t> scale = {};
  std::optional<std::int64_t> precision = {};
  std::string logical_type = {};  ///< As Thrift writes it; empty if there is none.

  /// True for text: byte arrays that are not decimals.
  bool is_text() const;
};

/// The data of one leaf in one row group (a column chunk).
struct ParquetChunk {
  std::int64_t type = 0;
  std::vector<std::int64_t> encodings;
  std::int64_t codec = 0;
  std::uint64_t values = 0;
  std::uint64_t uncompressed_bytes = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t data_page = 0;  ///< Offset in the file.
  std::optional<std::uint64_t> dictionary_page = {};

  std::uint64_t begin() const;  ///< Offset in the file of its first byte.
};

struct ParquetRowGroup {
  std::uint64_t from = 0;  ///< Its first row, numbered within the file.
  std::uint64_t to = 0;
  std::vector<ParquetChunk> chunks;  ///< By leaf.
};

/// A top-level column: nodes [node, node_end) and leaves [leaf, leaf_end).
struct ParquetColumn {
  std::size_t node = 0;
  std::size_t node_end = 0;
  std::size_t leaf = 0;
  std::size_t leaf_end = 0;
};

struct ParquetFooter {
  std::string created_by;
  std::vector<ParquetNode> nodes;  ///< The first is the root.
  std::vector<ParquetColumn> columns;
  std::vector<ParquetRowGroup> groups;
  std::uint64_t rows = 0;

  const std::string& name(std::size_t column) const { return nodes[columns[column].node].name; }
  /// Size of a row group, of all or of some columns.
  std::uint64_t uncompressed_bytes(std::size_t group) const;
  std::uint64_t uncompressed_bytes(std::size_t group, const std::vector<std::size_t>& of_columns) const;
};

/// Throws ParquetFooterError, and std::system_error if the file cannot be read.
ParquetFooter read_parquet_footer(const InputFile& file);

/// Whether the footer (which may itself be readable) declares encrypted columns. False if the footer cannot be read.
/// Throws std::system_error if the file cannot be read.
bool has_encrypted_columns(const InputFile& file);

}  // namespace millrace
