#pragma once

#include <optional>
#include <string>
#include <vector>

#include "stages/parquet/duckdb_session.h"
#include "stages/parquet/row_condition.h"
#include "stages/record_layout.h"

namespace millrace {

/// The SQL query over the rows of a shard. Paths mean the same as in JSON: names are exact, a list in a path means each
/// of its elements (not in the path of the text), a map is an object. The file's columns are called "#0", "#1", ... in
/// queries, whatever their names.
class ParquetQuery {
 public:
  /// The columns of a result row, in this order. The fields of ReadOptions::fields follow, then columns to ignore.
  enum Result : std::uint8_t {
    verdict,   ///< BIGINT: 1 selected, 0 filtered, -1 - i: asked()[i] is not UTF-8.
    has_text,  ///< BIGINT: 1 if the text's path leads to a value, even null; else 0.
    text,      ///< VARCHAR, BLOB or null.
    first_field,
  };

  /// `names`: of the file's columns. Throws ConfigError for a condition on columns that are not there.
  ParquetQuery(std::vector<std::string> names, const ReadOptions& options);

  /// The columns that are read, ascending.
  std::vector<std::size_t> columns() const;
  /// Fields and columns that filters and ReadOptions::fields use, as users name them.
  const std::vector<std::string>& asked() const { return asked_; }

  /// The SELECT list for a source whose columns have the types `found` where the file declares `declared`: texts may
  /// have become bytes. Both are indexed by column; only columns() are used.
  std::string select(const std::vector<DuckdbType>& declared, const std::vector<DuckdbType>& found) const;
  /// The kind of the value at the text's path; empty if there is none.
  std::optional<DuckdbType::Kind> text_kind(const std::vector<DuckdbType>& declared) const;
  /// The reason given for a row without a text.
  std::string why_no_text() const;

  static std::string name_of(std::size_t column);

 private:
  using Keys = std::vector<std::string>;
  struct Path {
    std::size_t column;
    Keys keys;  ///< Below the column.
  };
  std::optional<Path> path_of(const std::string& dotted) const;
  std::vector<Path> paths_of(const std::string& field) const;
  std::size_t column_of_condition(const std::string& name) const;
  std::vector<std::string> bad_texts(const std::vector<DuckdbType>& declared,
                                     const std::vector<DuckdbType>& found) const;
  std::string condition(const std::vector<DuckdbType>& declared, const std::vector<DuckdbType>& found) const;

  std::vector<std::string> names_;
  ReadOptions options_;
  std::optional<RowCondition> where_;
  std::vector<std::string> asked_fields_;  // Of keep, drop and fields.
  std::vector<std::string> asked_;         // Those, and behind them the condition's columns.
};

}  // namespace millrace
