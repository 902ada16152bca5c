#include "pipeline/keys/assignment.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/keys/did_you_mean.h"
#include "pipeline/keys/large_integer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

[[noreturn]] void refuse(const Assignment& assignment, const std::string& complaint) {
  throw ConfigError(fmt::format("--set {}: {}", assignment.text, complaint));
}

/// The key up to and with a part.
std::string dotted(const Assignment& assignment, std::size_t part) {
  return fmt::format("{}", fmt::join(std::span(assignment.key).first(part + 1), "."));
}

toml::table parse_value(const Assignment& assignment) {
  toml::table parsed;
  try {
    parsed = toml::parse(with_large_integers_set_aside("value = " + assignment.value));
  } catch (const toml::parse_error&) {
    parsed.insert_or_assign("value", assignment.value);
  }
  if (parsed.size() != 1) refuse(assignment, "expected one value, found several");
  return parsed;
}

std::vector<std::string> names_in(const toml::array& tables) {
  std::vector<std::string> names;
  for (const toml::node& table : tables)
    if (const auto* name = table.as_table()->get_as<std::string>("name")) names.push_back(name->get());
  return names;
}

/// "3 tables, 0 to 2 (prose, code, web)"
std::string tables_in(const toml::array& tables) {
  const std::vector<std::string> names = names_in(tables);
  return fmt::format("{} table{}, 0{}{}", tables.size(), tables.size() == 1 ? "" : "s",
                     tables.size() == 1   ? ""
                     : tables.size() == 2 ? " and 1"
                                          : fmt::format(" to {}", tables.size() - 1),
                     names.empty() ? "" : fmt::format(" ({})", fmt::join(names, ", ")));
}

/// The table that part `at` of the key is the number or the name of.
toml::table& table_of(toml::array& tables, const Assignment& assignment, std::size_t at) {
  const std::string& part = assignment.key[at];
  const std::string list = dotted(assignment, at - 1);
  if (tables.empty() || !tables.is_homogeneous(toml::node_type::table))
    refuse(assignment, fmt::format("{0} is a list of values: give it whole, as in {0}=[...]", list));
  if (at + 1 == assignment.key.size())
    refuse(assignment, fmt::format("expected a key of one of the tables, as in {0}.0.KEY=VALUE; {0} has {1}", list,
                                   tables_in(tables)));
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error == std::errc() && end == part.data() + part.size() && number < tables.size())
    return *tables[number].as_table();
  for (toml::node& table : tables) {
    const auto* name = table.as_table()->get_as<std::string>("name");
    if (name != nullptr && name->get() == part) return *table.as_table();
  }
  refuse(assignment, fmt::format("there is no {}: {} has {}{}", dotted(assignment, at), list, tables_in(tables),
                                 did_you_mean(part, names_in(tables))));
}

}  // namespace

Assignment::Assignment(const std::string& assignment) : text(assignment) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse(*this, "expected dotted.key=value");
  std::istringstream parts(text.substr(0, equals));
  for (std::string part; std::getline(parts, part, '.');) key.push_back(part);
  value = text.substr(equals + 1);
}

std::variant<const toml::node*, NamedFile> assign(toml::table& file, const Assignment& assignment) {
  toml::table parsed = parse_value(assignment);
  toml::table* table = &file;
  std::size_t at = assignment.begin;
  for (; at + 1 < assignment.key.size(); ++at) {
    const std::string& part = assignment.key[at];
    toml::node& node = table->insert(part, toml::table{}).first->second;
    if (node.is_string() && !digits_of_large_integer(node.as_string()->get())) {
      NamedFile named{table, part, assignment};
      named.inside.begin = at + 1;
      return named;
    }
    if (toml::array* list = node.as_array()) {
      table = &table_of(*list, assignment, ++at);
    } else {
      table = node.as_table();
      if (table == nullptr)
        refuse(assignment, fmt::format("{} is a single value, which has no keys", dotted(assignment, at)));
    }
  }
  return &table->insert_or_assign(assignment.key.back(), std::move(*parsed.get("value"))).first->second;
}

}  // namespace millrace
