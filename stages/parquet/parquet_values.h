#pragma once

#include <optional>
#include <span>
#include <string>

#include "stages/parquet/duckdb_session.h"

namespace millrace {

/// A field's name as DuckDB takes it: it binds no struct in which one has none.
std::string named_field(const std::string& name);

/// SQL for what lies within a column. `value` is SQL for a value of type `type`; `keys` lead further in, as in JSON.
/// Bytes stand for texts that nobody has checked.

/// A VARCHAR[] of all texts, numbers and booleans there, texts that are not UTF-8 as nulls; null or empty if there are
/// none.
std::string sql_values(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);

/// The same where no list can be on the way, as a VARCHAR or null: cheaper than a list of one.
std::optional<std::string> sql_only_value(const std::string& value, const DuckdbType& type,
                                          std::span<const std::string> keys);

/// Whether a text there is not UTF-8; "" if none can be.
std::string sql_is_bad(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);
/// Whether any text within is not UTF-8, where the file declares texts and bytes were found; "" if none can be.
/// REQUIRES: as sql_as.
std::string sql_is_bad(const std::string& value, const DuckdbType& declared, const DuckdbType& found);

/// What stands there if lists are not gone through.
struct SqlPlace {
  std::string value;
  DuckdbType type;
  std::string exists;  ///< False where a struct on the way is null.
};
std::optional<SqlPlace> sql_place(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);

/// The value with its type as declared: bytes are texts again where that says so, or null if they are not UTF-8.
/// REQUIRES: the types differ in that only.
std::string sql_as(const std::string& value, const DuckdbType& declared, const DuckdbType& found);

}  // namespace millrace
