#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// A way to keep records, or something in the place of records, that shards are not read from.
struct ForeignContainer {
  std::string name;                   ///< "bzip2", "tar in gzip"
  std::string remedy;                 ///< What to do about it, for a person.
  bool is_one_json_document = false;  /// One JSON object over several lines, as settings and descriptions are written.

  /// "bzip2; unpack it, or recompress it with zstd"
  std::string told() const { return name + "; " + remedy; }
};

/// Parquet whose first bytes say so, or whose footer: see has_encrypted_columns.
ForeignContainer encrypted_parquet();

/// How many of a file's first bytes are looked at: of a packed one so many that they hold zstd's largest block.
inline constexpr std::size_t kHeadBytes = 16 << 10;
inline constexpr std::size_t kPackedHeadBytes = 136 << 10;
/// Which of the two, by the first bytes.
std::size_t head_bytes(std::string_view head);

/// What a file is by its first bytes `head`: head_bytes() of them, or all; or what it is that gzip or zstd has packed.
/// Empty: nothing that is known not to be a shard. `is_text`: the file stands for one text as it is, so that only what
/// is no text at all is foreign.
std::optional<ForeignContainer> foreign_container(std::string_view head, bool is_text);

}  // namespace millrace
