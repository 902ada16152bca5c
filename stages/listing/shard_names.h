#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace {

/// Why a file found among shards is not one, in the order of reporting.
enum class PassedOver : std::uint8_t {
  unreadable_folder,
  dangling_link,
  unreachable,    ///< stat fails.
  known_folder,   ///< A link to a folder whose files were found under another name.
  known_file,     ///< A soft or hard link to a file that was found under another name.
  special,        ///< FIFO, socket or device.
  unfinished,     ///< Being written, or left over: *.tmp, *~, *.incomplete, *.part, ...
  json_document,  ///< Settings or a description, not lines of records.
  mark,           ///< _SUCCESS and its like.
  checksum,
  own,  ///< Written by `millrace index`.
  hidden,
  other,  ///< Not named like a shard.
};
/// As in "unfinished: 3 (...)".
const char* name_of(PassedOver why);

/// Why a file of this name cannot be a shard; empty: it may be one. Never `other`.
std::optional<PassedOver> plainly_no_shard(const std::string& name);

/// True for the names taken from a folder: *.jsonl*, *.ndjson, *.json and *.parquet, also with a compression suffix.
bool is_shard_name(const std::string& name);
/// True for a shard's name that ends in .json, compressed or not: such a file may also be one JSON document.
bool is_json_name(const std::string& name);
/// The names taken from a folder, for messages.
inline constexpr const char* kShardNames = "*.jsonl*, *.ndjson, *.json (also .gz, .zst) and *.parquet";

}  // namespace millrace
