#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// A file format that Millrace does not read as a shard.
struct ForeignContainer {
  std::string name;                   ///< "bzip2", "tar in gzip"
  std::string remedy;                 ///< What to do about it, as a message.
  bool is_one_json_document = false;  /// One JSON object over several lines, as settings and descriptions are written.

  /// "bzip2; unpack it, or recompress it with zstd"
  std::string told() const { return name + "; " + remedy; }
};

/// Encrypted Parquet, by its first bytes or by its footer: see has_encrypted_columns.
ForeignContainer encrypted_parquet();

/// How many of a file's first bytes are examined: of a compressed file enough to hold zstd's largest block.
inline constexpr std::size_t kHeadBytes = 16 << 10;
inline constexpr std::size_t kPackedHeadBytes = 136 << 10;
/// Which of the two, by the first bytes.
std::size_t head_bytes(std::string_view head);

/// The foreign format of a file, or of its content under gzip or zstd, detected from its first bytes `head`
/// (head_bytes() of them, or all). Empty: no known foreign format. `is_text`: the whole file is one text, so that only
/// binary formats are foreign.
std::optional<ForeignContainer> foreign_container(std::string_view head, bool is_text);

}  // namespace millrace
