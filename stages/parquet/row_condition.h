#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "stages/errors.h"

namespace millrace {

/// A condition on a row, as SQL: one expression over the row's own columns that always gives the same result for the
/// same row. Immutable.
class RowCondition {
 public:
  /// Throws ConfigError naming the byte for anything else: text that is not one expression, or closes a parenthesis
  /// that it did not open; sub-queries, windows, aggregates, parameters; functions that depend on randomness, time,
  /// settings or files. Throws ConfigError in a build without DuckDB.
  explicit RowCondition(std::string text);

  const std::string& text() const { return text_; }
  /// Names of the columns it uses, as written.
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
  std::vector<Mention> mentions_;  // In order of `begin`.
};

}  // namespace millrace
