#pragma once

#include <optional>
#include <string>
#include <vector>

#include "stages/parquet/duckdb_session.h"
#include "stages/parquet/row_condition.h"
#include "stages/record_layout.h"

namespace millrace {

/// What is asked of each row of a shard, as SQL. Paths mean what they mean in JSON: names are exact, a list on the way
/// stands for its elements (not on the way to the text), a map is an object. The file's columns are called "#0", "#1",
/// ... in queries, whatever their names.
class ParquetQuery {
 public:
  /// What a row gives, in this order. Each field of ReadOptions::fields follows, and columns to be passed over.
  enum Result : std::uint8_t {
    verdict,   ///< BIGINT: 1 taken, 0 filtered, -1 - i: asked()[i] is not UTF-8.
    has_text,  ///< BIGINT: 1 if the text's path leads to a value, be it null; else 0.
    text,      ///< VARCHAR, BLOB or null.
    first_field,
  };

  /// `names`: of the file's columns. Throws ConfigError for a condition on columns that are not there.
  ParquetQuery(std::vector<std::string> names, const ReadOptions& options);

  /// The columns that are looked at, ascending.
  std::vector<std::size_t> columns() const;
  /// Fields and columns that filters and ReadOptions::fields ask for, as users name them.
  const std::vector<std::string>& asked() const { return asked_; }

  /// What to select from a source whose columns are of types `found`, where the file says `declared`: texts may have
  /// become bytes. Both by column; those of columns() matter.
  std::string select(const std::vector<DuckdbType>& declared, const std::vector<DuckdbType>& found) const;
  /// The kind of what stands where the text should; nothing if its path leads nowhere.
  std::optional<DuckdbType::Kind> text_kind(const std::vector<DuckdbType>& declared) const;
  /// What is said of a row without the text.
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
