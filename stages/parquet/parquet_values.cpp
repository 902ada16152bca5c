#include "stages/parquet/parquet_values.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

namespace millrace {
namespace {

using Kind = DuckdbType::Kind;
using Keys = std::span<const std::string>;

/// SQL for part `i` of a structure.
std::string part(const std::string& value, std::size_t i) {
  return fmt::format("struct_extract_at({}, {})", value, i + 1);
}

/// The last part of that name: of equal keys the last one counts.
std::optional<std::size_t> part_named(const DuckdbType& type, const std::string& name) {
  for (std::size_t i = type.parts.size(); i > 0; --i) {
    if (type.parts[i - 1].first == name) return i - 1;
  }
  return std::nullopt;
}

/// The value of a map at a key, as a list of one or none.
std::string at_key(const std::string& value, const DuckdbType& type, const std::string& key) {
  const char* form =
      type.parts[0].second.kind == Kind::bytes ? "map_extract({}, CAST({} AS BLOB))" : "map_extract({}, {})";
  return fmt::format(fmt::runtime(form), value, sql_string(key));
}

bool has_text_keys(const DuckdbType& type) {
  return type.parts[0].second.kind == Kind::text || type.parts[0].second.kind == Kind::bytes;
}

/// A name for an element of the list `value`: numbered one higher than the name used in `value`, if any.
std::string variable(const std::string& value) {
  const std::size_t outer = value.rfind("\"#x");
  return fmt::format("\"#x{}\"", outer == std::string::npos ? 0 : std::stoi(value.substr(outer + 3)) + 1);
}

std::string as_text(const std::string& value, Kind kind) {
  if (kind == Kind::text) return value;
  if (kind == Kind::bytes) return fmt::format("TRY(decode({}))", value);
  return fmt::format("CAST({} AS VARCHAR)", value);
}

std::string bad_text(const std::string& value) {
  return fmt::format("({0} IS NOT NULL AND TRY(decode({0})) IS NULL)", value);
}

std::string any_of(const std::vector<std::string>& conditions) {
  std::string any;
  for (const std::string& condition : conditions) {
    if (!condition.empty()) any += (any.empty() ? "(" : " OR ") + condition;
  }
  return any.empty() ? "" : any + ")";
}

/// Whether `condition` on `name` holds for an element of the list.
std::string any_element(const std::string& list, const std::string& name, const std::string& condition) {
  if (condition.empty()) return "";
  return fmt::format("(coalesce(len(list_filter({}, lambda {}: {})), 0) > 0)", list, name, condition);
}

}  // namespace

std::string named_field(const std::string& name) {
  return name.empty() ? "#" : name;
}

std::string sql_values(const std::string& value, const DuckdbType& type, Keys keys) {
  const std::string none = "NULL::VARCHAR[]";
  const auto of_all = [&](const std::string& list, const DuckdbType& element, Keys further) {
    const std::string name = variable(list);
    return fmt::format("flatten(list_transform({}, lambda {}: {}))", list, name, sql_values(name, element, further));
  };
  switch (type.kind) {
    case Kind::list:
      return of_all(value, type.parts[0].second, keys);
    case Kind::map:
      if (keys.empty() || !has_text_keys(type)) return none;
      return of_all(at_key(value, type, keys[0]), type.parts[1].second, keys.subspan(1));
    case Kind::structure: {
      const std::optional<std::size_t> i = keys.empty() ? std::nullopt : part_named(type, keys[0]);
      return i ? sql_values(part(value, *i), type.parts[*i].second, keys.subspan(1)) : none;
    }
    default:
      return keys.empty() ? fmt::format("list_value({})", as_text(value, type.kind)) : none;
  }
}

std::optional<std::string> sql_only_value(const std::string& value, const DuckdbType& type, Keys keys) {
  const std::optional<SqlPlace> place = sql_place(value, type, keys);
  if (!place || !place->type.parts.empty()) return std::nullopt;
  return as_text(place->value, place->type.kind);
}

std::string sql_is_bad(const std::string& value, const DuckdbType& type, Keys keys) {
  switch (type.kind) {
    case Kind::list: {
      const std::string name = variable(value);
      return any_element(value, name, sql_is_bad(name, type.parts[0].second, keys));
    }
    case Kind::map: {
      if (keys.empty() || !has_text_keys(type)) return "";
      const std::string list = at_key(value, type, keys[0]);
      const std::string name = variable(list);
      return any_element(list, name, sql_is_bad(name, type.parts[1].second, keys.subspan(1)));
    }
    case Kind::structure: {
      const std::optional<std::size_t> i = keys.empty() ? std::nullopt : part_named(type, keys[0]);
      return i ? sql_is_bad(part(value, *i), type.parts[*i].second, keys.subspan(1)) : "";
    }
    default:
      return keys.empty() && type.kind == Kind::bytes ? bad_text(value) : "";
  }
}

std::string sql_is_bad(const std::string& value, const DuckdbType& declared, const DuckdbType& found) {
  if (declared == found) return "";
  std::vector<std::string> conditions;
  switch (declared.kind) {
    case Kind::text:
      return bad_text(value);
    case Kind::list: {
      const std::string name = variable(value);
      return any_element(value, name, sql_is_bad(name, declared.parts[0].second, found.parts[0].second));
    }
    case Kind::map: {
      const std::string entries = fmt::format("map_entries({})", value);
      const std::string name = variable(entries);
      for (std::size_t i = 0; i < 2; ++i)
        conditions.push_back(sql_is_bad(part(name, i), declared.parts[i].second, found.parts[i].second));
      return any_element(entries, name, any_of(conditions));
    }
    case Kind::structure:
      for (std::size_t i = 0; i < declared.parts.size(); ++i)
        conditions.push_back(sql_is_bad(part(value, i), declared.parts[i].second, found.parts[i].second));
      return any_of(conditions);
    default:
      return "";
  }
}

std::optional<SqlPlace> sql_place(const std::string& value, const DuckdbType& type, Keys keys) {
  SqlPlace place{value, type, "true"};
  for (const std::string& key : keys) {
    const DuckdbType above = place.type;
    if (above.kind == Kind::structure) {
      const std::optional<std::size_t> i = part_named(above, key);
      if (!i) return std::nullopt;
      place.exists += fmt::format(" AND {} IS NOT NULL", place.value);
      place.value = part(place.value, *i);
      place.type = above.parts[*i].second;
    } else if (above.kind == Kind::map && has_text_keys(above)) {
      const std::string list = at_key(place.value, above, key);
      place.exists += fmt::format(" AND coalesce(len({}), 0) > 0", list);
      place.value = fmt::format("({})[1]", list);
      place.type = above.parts[1].second;
    } else {
      return std::nullopt;
    }
  }
  return place;
}

std::string sql_as(const std::string& value, const DuckdbType& declared, const DuckdbType& found) {
  if (declared == found) return value;
  switch (declared.kind) {
    case Kind::text:
      return as_text(value, found.kind);
    case Kind::list: {
      const std::string name = variable(value);
      return fmt::format("list_transform({}, lambda {}: {})", value, name,
                         sql_as(name, declared.parts[0].second, found.parts[0].second));
    }
    case Kind::map: {
      const std::string entries = fmt::format("map_entries({})", value);
      const std::string name = variable(entries);
      return fmt::format("map_from_entries(list_transform({}, lambda {}: struct_pack(\"key\" := {}, \"value\" := {})))",
                         entries, name, sql_as(part(name, 0), declared.parts[0].second, found.parts[0].second),
                         sql_as(part(name, 1), declared.parts[1].second, found.parts[1].second));
    }
    case Kind::structure: {
      std::string parts;
      for (std::size_t i = 0; i < declared.parts.size(); ++i) {
        parts += fmt::format("{}{} := {}", i == 0 ? "" : ", ", sql_name(named_field(declared.parts[i].first)),
                             sql_as(part(value, i), declared.parts[i].second, found.parts[i].second));
      }
      return fmt::format("CASE WHEN {} IS NULL THEN NULL ELSE struct_pack({}) END", value, parts);
    }
    default:
      return value;
  }
}

}  // namespace millrace
