#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// Where commands look for the manifest of a data directory: DIR/millrace-index.json.
inline constexpr const char* kManifestName = "millrace-index.json";

/// Documents that are held out (see is_held_out), and their ids.
struct HeldOutCount {
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;  ///< 0 without a vocabulary.
  bool operator==(const HeldOutCount&) const = default;
};

/// What one shard holds; from reading all of it.
struct ShardEntry {
  std::string path;                              ///< Relative to DataManifest::root where it lies below it.
  std::uint64_t bytes = 0;                       ///< Of the file.
  std::int64_t modified = 0;                     ///< When the file was last written: nanoseconds since 1970.
  std::string xxh3;                              ///< xxh3_64 of the file as 16 hex digits; empty if it is unreadable.
  std::string container;                         ///< plain, zstd, gzip, parquet; empty if it is unreadable.
  std::string layout;                            ///< Name of the layout it was read with.
  std::uint64_t records = 0;                     ///< Documents: records that are not rejected.
  std::uint64_t text_bytes = 0;                  ///< UTF-8 bytes of their text.
  std::map<std::string, std::uint64_t> rejects;  ///< How many by name of the cause; only causes that occur.
  Loss lost{0, 0};                               ///< Sum of the rejects' losses.
  std::uint64_t content = 0;                     ///< Bytes of content of the documents' records.
  std::optional<std::uint64_t> tokens;           ///< Ids of all documents; none without a vocabulary.
  HeldOutCount held_out;                         ///< Of these documents, those that DataManifest::holdout holds out.
  /// Where reading can begin, in order: in lines at least 4 MiB of content apart, in Parquet every row group. The
  /// shard's beginning is not among them.
  std::vector<SeekPoint> seek_points;

  std::uint64_t rejected() const;
  bool is_readable() const { return !xxh3.empty(); }
  bool is_lost() const;  ///< Nothing of it could be read: a run would stop there.
  bool operator==(const ShardEntry&) const = default;
};

/// What the shards of a data directory hold.
struct DataManifest {
  std::filesystem::path root;      ///< Absolute: the folder that paths are relative to.
  std::string vocabulary;          ///< Hash of the vocabulary that counted tokens; empty: none.
  std::string layout;              ///< The layout that was named; empty: detected from each shard's content.
  std::string text_field;          ///< The text field that was named; empty: the layout's.
  double holdout = 0;              ///< The share of the documents that is counted as held out.
  bool complete = true;            ///< False if indexing was interrupted: some shards are missing.
  std::vector<ShardEntry> shards;  ///< In natural order of their paths.
};

/// Size and time of the last write of a file; none if there is no such file.
struct FileState {
  std::uint64_t bytes = 0;
  std::int64_t modified = 0;  ///< Nanoseconds since 1970.

  bool operator==(const FileState&) const = default;
};
std::optional<FileState> state_of(const std::filesystem::path& file);

/// The file with a manifest's rejects: NAME.rejects.jsonl beside NAME.json.
std::filesystem::path rejects_beside(const std::filesystem::path& manifest);

void to_json(nlohmann::ordered_json& json, const ShardEntry& entry);
void from_json(const JsonValue& json, ShardEntry& entry);

/// A manifest for a file in `folder`: `root` is written relative to it. The shards are the last member: see json_table.
nlohmann::ordered_json manifest_json(const DataManifest& manifest, const std::filesystem::path& folder);

/// Reads a manifest. Throws ConfigError naming the file if it is not a manifest, or has another version.
DataManifest read_manifest(const std::filesystem::path& file);

/// The manifest of a data directory, named kManifestName; none if there is no such file.
std::optional<DataManifest> manifest_of(const std::filesystem::path& data_directory);

/// The entry of a shard file, or nullptr. The file may have changed since: see is_current.
const ShardEntry* find_entry(const DataManifest& manifest, const std::filesystem::path& shard);

/// True if the shard could be read, and its file still has the same size and time.
bool is_current(const ShardEntry& entry, const std::filesystem::path& shard);

}  // namespace millrace
