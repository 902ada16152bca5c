#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "stages/errors.h"

namespace millrace {

/// A condition on a row, as SQL: one expression over the row's own columns that says the same of the same row each
/// time. Immutable.
class RowCondition {
 public:
  /// Throws ConfigError for anything else, naming the byte: what is no expression, or goes on behind its own
  /// parenthesis; sub-queries, windows, aggregates, parameters; functions that depend on chance, time, settings or
  /// files. Throws ConfigError in a build without DuckDB.
  explicit RowCondition(std::string text);

  const std::string& text() const { return text_; }
  /// Names of the columns that it asks for, as it writes them.
  std::vector<std::string> columns() const;
  /// The condition with SQL in place of each column.
  std::string with(const std::function<std::string(const std::string& column)>& sql_of) const;

 private:
  struct Mention {
    std::string column;
    std::size_t begin;  // In text_.
    std::size_t end;
  };

  std::string text_;
  std::vector<Mention> mentions_;  // By place.
};

}  // namespace millrace
