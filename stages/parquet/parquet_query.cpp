#include "stages/parquet/parquet_query.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stages/errors.h"
#include "stages/parquet/parquet_values.h"

namespace millrace {
namespace {

bool same_letters(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::vector<std::string> split(const std::string& dotted) {
  std::vector<std::string> keys;
  std::size_t begin = 0;
  for (std::size_t dot = dotted.find('.'); dot != std::string::npos; dot = dotted.find('.', begin)) {
    keys.push_back(dotted.substr(begin, dot - begin));
    begin = dot + 1;
  }
  keys.push_back(dotted.substr(begin));
  return keys;
}

/// Names that differ from `name` in case only, as a list in words; empty if there are none.
std::vector<std::string> alike(const std::vector<std::string>& names, const std::string& name) {
  std::vector<std::string> found;
  for (const std::string& other : names) {
    if (same_letters(other, name)) found.push_back(fmt::format("\"{}\"", other));
  }
  return found;
}

}  // namespace

ParquetQuery::ParquetQuery(std::vector<std::string> names, const ReadOptions& options)
    : names_(std::move(names)), options_(options) {
  for (const FieldRule& rule : options_.filter.keep) asked_fields_.push_back(rule.field);
  for (const FieldRule& rule : options_.filter.drop) asked_fields_.push_back(rule.field);
  asked_fields_.insert(asked_fields_.end(), options_.fields.begin(), options_.fields.end());
  asked_ = asked_fields_;
  if (options_.filter.where.empty()) return;
  where_.emplace(options_.filter.where);
  for (const std::string& column : where_->columns()) asked_.push_back(names_[column_of_condition(column)]);
}

std::string ParquetQuery::name_of(std::size_t column) {
  return fmt::format("\"#{}\"", column);
}

std::vector<std::size_t> ParquetQuery::columns() const {
  std::set<std::size_t> columns;
  for (const std::string& field : asked_fields_) {
    for (const Path& path : paths_of(field)) columns.insert(path.column);
  }
  if (where_) {
    for (const std::string& name : where_->columns()) columns.insert(column_of_condition(name));
  }
  if (const std::optional<Path> path = path_of(options_.layout.text_field)) columns.insert(path->column);
  return {columns.begin(), columns.end()};
}

/// The column of exactly that name, or the one that the first key names; the last of equal names counts.
std::optional<ParquetQuery::Path> ParquetQuery::path_of(const std::string& dotted) const {
  const auto last = [this](const std::string& name) -> std::optional<std::size_t> {
    const auto found = std::find(names_.rbegin(), names_.rend(), name);
    if (found == names_.rend()) return std::nullopt;
    return static_cast<std::size_t>(names_.rend() - found) - 1;
  };
  if (const std::optional<std::size_t> column = last(dotted)) return Path{*column, {}};
  Keys keys = split(dotted);
  const std::optional<std::size_t> column = last(keys.front());
  if (!column) return std::nullopt;
  keys.erase(keys.begin());
  return Path{*column, std::move(keys)};
}

std::vector<ParquetQuery::Path> ParquetQuery::paths_of(const std::string& field) const {
  std::vector<Path> paths;
  for (const std::string& dotted : options_.layout.paths_of(field)) {
    if (std::optional<Path> path = path_of(dotted)) paths.push_back(std::move(*path));
  }
  return paths;
}

/// SQL ignores the case of a name if only one column matches.
std::size_t ParquetQuery::column_of_condition(const std::string& name) const {
  if (const std::optional<Path> exact = path_of(name); exact && exact->keys.empty()) return exact->column;
  const std::vector<std::string> others = alike(names_, name);
  if (others.size() > 1)
    throw ConfigError(fmt::format("column \"{}\" may be {}; write it as one of them", name, fmt::join(others, " or ")));
  if (others.empty())
    throw ConfigError(fmt::format("there is no column \"{}\"; there are {}", name, fmt::join(names_, ", ")));
  return static_cast<std::size_t>(
      std::ranges::find_if(names_, [&](const std::string& other) { return same_letters(other, name); }) -
      names_.begin());
}

std::optional<DuckdbType::Kind> ParquetQuery::text_kind(const std::vector<DuckdbType>& declared) const {
  const std::optional<Path> path = path_of(options_.layout.text_field);
  if (!path) return std::nullopt;
  const std::optional<SqlPlace> place = sql_place("", declared[path->column], path->keys);
  return place ? std::optional(place->type.kind) : std::nullopt;
}

std::string ParquetQuery::why_no_text() const {
  const std::string& field = options_.layout.text_field;
  const std::vector<std::string> others = alike(names_, split(field).front());
  const std::string hint =
      others.empty() || path_of(field) ? "" : fmt::format("; there is {}", fmt::join(others, " and "));
  return fmt::format("there is no field \"{}\"{}", field, hint);
}

/// Whether a row is selected: null if that depends on a text that is not UTF-8.
std::string ParquetQuery::condition(const std::vector<DuckdbType>& declared,
                                    const std::vector<DuckdbType>& found) const {
  std::string all = "true";
  const auto add = [&](const FieldRule& rule, const char* negation) {
    std::string values, any, bad;
    for (const std::string& value : rule.values) values += (values.empty() ? "" : ", ") + sql_string(value);
    for (const Path& path : paths_of(rule.field)) {
      const std::string column = name_of(path.column);
      const std::optional<std::string> only = sql_only_value(column, found[path.column], path.keys);
      any += only && !values.empty() ? fmt::format(" OR coalesce({} IN ({}), false)", *only, values)
                                     : fmt::format(" OR coalesce(list_has_any({}, [{}]), false)",
                                                   sql_values(column, found[path.column], path.keys), values);
      if (const std::string is_bad = sql_is_bad(column, found[path.column], path.keys); !is_bad.empty())
        bad += fmt::format(" OR {}", is_bad);
    }
    all += bad.empty() ? fmt::format(" AND {}(false{})", negation, any)
                       : fmt::format(" AND CASE WHEN false{} THEN NULL ELSE {}(false{}) END", bad, negation, any);
  };
  for (const FieldRule& rule : options_.filter.keep) add(rule, "");
  for (const FieldRule& rule : options_.filter.drop) add(rule, "NOT ");
  if (!where_) return all;
  std::string bad;
  for (const std::string& name : where_->columns()) {
    const std::size_t column = column_of_condition(name);
    const std::string is_bad = sql_is_bad(name_of(column), declared[column], found[column]);
    if (!is_bad.empty()) bad += " OR " + is_bad;
  }
  const std::string where = where_->with([&](const std::string& name) {
    const std::size_t column = column_of_condition(name);
    return "(" + sql_as(name_of(column), declared[column], found[column]) + ")";
  });
  return fmt::format("{} AND CASE WHEN false{} THEN NULL ELSE coalesce(CAST(({}\n) AS BOOLEAN), false) END", all, bad,
                     where);
}

/// By asked(): whether a text there is not UTF-8; "" if none can be.
std::vector<std::string> ParquetQuery::bad_texts(const std::vector<DuckdbType>& declared,
                                                 const std::vector<DuckdbType>& found) const {
  std::vector<std::string> bad;
  for (const std::string& field : asked_fields_) {
    std::string any;
    for (const Path& path : paths_of(field)) {
      const std::string is_bad = sql_is_bad(name_of(path.column), found[path.column], path.keys);
      if (!is_bad.empty()) any += (any.empty() ? "" : " OR ") + is_bad;
    }
    bad.push_back(std::move(any));
  }
  if (!where_) return bad;
  for (const std::string& name : where_->columns()) {
    const std::size_t column = column_of_condition(name);
    bad.push_back(sql_is_bad(name_of(column), declared[column], found[column]));
  }
  return bad;
}

std::string ParquetQuery::select(const std::vector<DuckdbType>& declared, const std::vector<DuckdbType>& found) const {
  std::string decided = fmt::format("CASE WHEN NOT ({}) THEN 0", condition(declared, found));
  const std::vector<std::string> bad = bad_texts(declared, found);
  for (std::size_t i = 0; i < bad.size(); ++i) {
    if (!bad[i].empty()) decided += fmt::format(" WHEN {} THEN {}", bad[i], -1 - static_cast<int>(i));
  }
  std::string exists = "0", value = "NULL::VARCHAR";
  if (const std::optional<Path> path = path_of(options_.layout.text_field)) {
    if (const std::optional<SqlPlace> place = sql_place(name_of(path->column), found[path->column], path->keys)) {
      exists = fmt::format("CAST(({}) AS BIGINT)", place->exists);
      const bool is_text = place->type.kind == DuckdbType::Kind::text || place->type.kind == DuckdbType::Kind::bytes;
      if (is_text) value = place->value;
    }
  }
  std::string selected = fmt::format("CAST({} ELSE 1 END AS BIGINT), CAST({} AS BIGINT), {}", decided, exists, value);
  for (const std::string& field : options_.fields) {
    std::string firsts;
    for (const Path& path : paths_of(field)) {
      const std::string column = name_of(path.column);
      const std::optional<std::string> only = sql_only_value(column, found[path.column], path.keys);
      firsts += only ? *only + ", "
                     : fmt::format("list_filter({}, lambda \"#v\": \"#v\" IS NOT NULL)[1], ",
                                   sql_values(column, found[path.column], path.keys));
    }
    selected += fmt::format(", coalesce({}NULL, NULL::VARCHAR)", firsts);
  }
  // If part of a column is used, all of it is read: whether its texts are UTF-8 must not depend on what DuckDB skips.
  if (where_) {
    for (const std::string& name : where_->columns()) selected += ", " + name_of(column_of_condition(name));
  }
  return selected;
}

}  // namespace millrace
