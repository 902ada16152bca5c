#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// Where a record has its text and the fields that users filter by. Paths are dotted keys ("meta.url"); an array in a
/// path means all its elements. In Parquet a path is a column, or a field of a struct column.
struct RecordLayout {
  std::string name = "custom";
  std::string text_field = "text";
  /// The field's plain name ("lang", "url", "path", "id", "license") and a path where it may be; a name may have
  /// several.
  std::vector<std::pair<std::string, std::string>> fields = {};

  /// The paths that `field` means: those of a plain name, or `field` itself.
  std::vector<std::string> paths_of(const std::string& field) const;
  /// The whole shard is one document; there are no fields.
  bool is_text() const { return name == "text"; }
};

/// The layouts users name: redpajama, redpajama-v2, the-stack, dolma, c4, text (one document a file), custom (with a
/// text field of its own). Throws ConfigError listing the known ones.
RecordLayout layout_named(const std::string& name);

/// The layout of records with these keys; custom with the text in "text" if no other fits.
RecordLayout layout_of_keys(const std::vector<std::string>& keys);

/// keep: selects a record only if one of the field's values is in the list; drop: only if none is. Values are compared
/// as text: strings as they are, integers and booleans as JSON writes them. A record without the field has no value.
struct FieldRule {
  std::string field;  ///< A plain name of the layout, or a path.
  std::vector<std::string> values;

  bool operator==(const FieldRule&) const = default;
};

/// Which records of a corpus are used.
struct RecordFilter {
  std::vector<FieldRule> keep = {};  ///< All of them must hold.
  std::vector<FieldRule> drop = {};  ///< None of them may match.
  std::string where = {};            ///< An SQL condition over the columns of Parquet shards; empty: none.

  bool empty() const { return keep.empty() && drop.empty() && where.empty(); }
  bool operator==(const RecordFilter&) const = default;
};

/// How the records of a shard are read.
struct ReadOptions {
  RecordLayout layout = {};
  std::uint64_t max_record_bytes = 64ull << 20;  ///< Longer lines are rejected (too_long), never held whole.
  RecordFilter filter = {};
  std::vector<std::string> fields = {};  ///< What Document::fields keeps: plain names of the layout, or paths.
  /// Called with the file's bytes as they are read, in order; not for Parquet, which DuckDB reads.
  std::function<void(std::uint64_t offset, const char* data, std::size_t bytes)> on_bytes = {};
};

}  // namespace millrace
