#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace {

/// Why what lies among shards is none of them, in the order in which it is told.
enum class PassedOver : std::uint8_t {
  unreadable_folder,
  dangling_link,
  unreachable,    ///< Cannot even be looked at.
  known_folder,   ///< A link to a folder whose files have another name already.
  known_file,     ///< A link, also a hard one, to a file that has another name already.
  special,        ///< FIFO, socket or device.
  unfinished,     ///< Being written, or left over: *.tmp, *~, *.incomplete, *.part, ...
  json_document,  ///< Settings, a description: no lines of records.
  mark,           ///< _SUCCESS and its like.
  checksum,
  own,  ///< Written by `millrace index`.
  hidden,
  other,  ///< Not called as a shard is.
};
/// As in "unfinished: 3 (...)".
const char* name_of(PassedOver why);

/// Why a file of this name is plainly no shard; empty: it may be one. Never `other`.
std::optional<PassedOver> plainly_no_shard(const std::string& name);

/// True for what a folder yields: *.jsonl*, *.ndjson, *.json and *.parquet, these also with the suffix of a packing.
bool is_shard_name(const std::string& name);
/// True for a shard's name that ends in .json, packed or not: such a file may also be one JSON document.
bool is_json_name(const std::string& name);
/// What a folder yields, for a person.
inline constexpr const char* kShardNames = "*.jsonl*, *.ndjson, *.json (also .gz, .zst) and *.parquet";

}  // namespace millrace
