#pragma once

#include <optional>
#include <span>
#include <string>

#include "stages/parquet/duckdb_session.h"

namespace millrace {

/// A field's name for DuckDB, which accepts no struct with an unnamed field.
std::string named_field(const std::string& name);

/// SQL for values inside a column. `value` is SQL for a value of type `type`; `keys` are the path inside it, as in
/// JSON. Bytes are texts whose UTF-8 has not been checked.

/// A VARCHAR[] of all texts, numbers and booleans there, texts that are not UTF-8 as nulls; null or empty if there are
/// none.
std::string sql_values(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);

/// The same for a path without lists, as a VARCHAR or null: cheaper than a list of one.
std::optional<std::string> sql_only_value(const std::string& value, const DuckdbType& type,
                                          std::span<const std::string> keys);

/// Whether a text there is invalid UTF-8; "" if that is impossible.
std::string sql_is_bad(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);
/// Whether any text inside `value` is invalid UTF-8, where the file declares texts and bytes were found; "" if that is
/// impossible. REQUIRES: as sql_as.
std::string sql_is_bad(const std::string& value, const DuckdbType& declared, const DuckdbType& found);

/// The value at a path without entering lists.
struct SqlPlace {
  std::string value;
  DuckdbType type;
  std::string exists;  ///< False if a struct in the path is null.
};
std::optional<SqlPlace> sql_place(const std::string& value, const DuckdbType& type, std::span<const std::string> keys);

/// The value converted to its declared type: bytes become texts again where `declared` has texts, or null if they are
/// not UTF-8. REQUIRES: the types differ in that only.
std::string sql_as(const std::string& value, const DuckdbType& declared, const DuckdbType& found);

}  // namespace millrace
