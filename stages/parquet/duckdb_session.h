#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace millrace {

/// An error from DuckDB.
struct DuckdbError : std::runtime_error {
  DuckdbError(const std::string& message, bool out_of_memory_, bool fatal_)
      : std::runtime_error(message), out_of_memory(out_of_memory_), fatal(fatal_) {}
  bool out_of_memory;  ///< Says nothing about the data.
  bool fatal;          ///< The session is unusable: open another.
};

/// The type of a column, as far as reading its values depends on it.
struct DuckdbType {
  enum class Kind : std::uint8_t { text, bytes, boolean, number, list, map, structure, other };
  Kind kind = Kind::other;
  /// The element of a list, key and value of a map, fields of a structure; with their names if they have any.
  std::vector<std::pair<std::string, DuckdbType>> parts = {};

  bool operator==(const DuckdbType&) const = default;
};
/// "a string", "a number", ...
const char* name_of(DuckdbType::Kind kind);

/// The rows of one query, in order, a chunk at a time. Views are valid until the next next_chunk().
class DuckdbRows {
 public:
  ~DuckdbRows();
  DuckdbRows(DuckdbRows&&) noexcept;

  /// False after the last chunk. Throws DuckdbError.
  bool next_chunk();
  std::size_t size() const;  ///< Rows of this chunk.
  bool is_null(std::size_t column, std::size_t row) const;
  std::string_view text(std::size_t column, std::size_t row) const;  ///< REQUIRES: VARCHAR or BLOB, not null.
  std::int64_t number(std::size_t column, std::size_t row) const;    ///< REQUIRES: BIGINT, not null.
  std::vector<DuckdbType> types() const;  ///< Types of the columns; available before the first chunk.

 private:
  friend class DuckdbSession;
  struct Impl;
  explicit DuckdbRows(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A connection to the process's DuckDB, which has no database file, starts no threads, loads no extensions, and uses
/// at most 1 GB per session. Results depend only on the query and the files it names: the time zone is UTC. Tables must
/// be temporary, so that each session has its own. One object, one thread; at most one DuckdbRows at a time. Throws
/// ConfigError in a build without DuckDB.
class DuckdbSession {
 public:
  DuckdbSession();
  ~DuckdbSession();
  DuckdbSession(DuckdbSession&&) noexcept;
  DuckdbSession& operator=(DuckdbSession&&) noexcept;

  /// Throws DuckdbError.
  DuckdbRows query(const std::string& sql);

  /// Adds rows to a table, cells in the order of its columns. Throws DuckdbError.
  using Cell = std::variant<std::string_view, std::int64_t, double>;
  void append(const std::string& table, const std::vector<std::vector<Cell>>& rows);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// 'text' and "name" as SQL writes them.
std::string sql_string(std::string_view text);
std::string sql_name(std::string_view name);

}  // namespace millrace
