#include "pipeline/keys/config_difference.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "pipeline/keys/large_integer.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::string_view kBare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

std::string as_key(const std::string& name) {
  return !name.empty() && name.find_first_not_of(kBare) == std::string::npos ? name : millrace::quoted(name);
}

std::string as_value(const toml::node& node) {
  if (const auto* text = node.as_string())
    return digits_of_large_integer(text->get()).value_or(millrace::quoted(text->get()));
  if (const auto* whole = node.as_integer()) return fmt::format("{}", whole->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* list = node.as_array()) {
    std::vector<std::string> values;
    for (const toml::node& element : *list) values.push_back(as_value(element));
    return fmt::format("[{}]", fmt::join(values, ", "));
  }
  std::ostringstream other;
  node.visit([&other](const auto& value) { other << value; });
  return other.str();
}

/// A configuration as keys and values.
class Flat {
 public:
  Flat(const std::string& text, const std::string& prefix) {
    try {
      add_members(toml::parse(with_large_integers_set_aside(text)), prefix);
    } catch (const toml::parse_error& error) {
      throw ConfigError(fmt::format("line {}: {}", error.source().begin.line, error.description()));
    }
  }

  const std::map<std::string, std::string>& values() const { return values_; }
  /// True if the key stands in a named table that is not here.
  bool lacks_table_of(const std::string& key, const Flat& other) const {
    return std::ranges::any_of(other.tables_, [&](const std::string& table) {
      return key.starts_with(table + ".") && !tables_.contains(table);
    });
  }

 private:
  void add_members(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string name = as_key(std::string(key.str()));
      add(node, prefix.empty() ? name : fmt::format("{}.{}", prefix, name));
    }
  }

  void add(const toml::node& node, const std::string& key) {
    const toml::array* list = node.as_array();
    if (const auto* table = node.as_table()) {
      add_members(*table, key);
    } else if (list != nullptr && !list->empty() && list->is_homogeneous(toml::node_type::table)) {
      add_tables(*list, key);
    } else {
      values_[key] = as_value(node);
    }
  }

  void add_tables(const toml::array& list, const std::string& key) {
    std::vector<std::string> names;
    for (const toml::node& table : list)
      if (const auto* name = table.as_table()->get_as<std::string>("name")) names.push_back(name->get());
    const bool have_names = names.size() == list.size();
    std::vector<std::string> in_quotes;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string table = fmt::format("{}.{}", key, have_names ? as_key(names[i]) : fmt::format("{}", i));
      add_members(*list[i].as_table(), table);
      if (!have_names) continue;
      values_.erase(table + ".name");
      tables_.insert(table);
      in_quotes.push_back(millrace::quoted(names[i]));
    }
    if (have_names) values_[key] = fmt::format("[{}]", fmt::join(in_quotes, ", "));
  }

  std::map<std::string, std::string> values_;
  std::set<std::string> tables_;
};

}  // namespace

std::string ConfigDifference::text() const {
  return fmt::format("{} {} -> {}", key, then.empty() ? "(unset)" : then, now.empty() ? "(unset)" : now);
}

std::vector<ConfigDifference> differences(const std::string& then, const std::string& now, const std::string& prefix) {
  const Flat before(then, prefix);
  const Flat after(now, prefix);
  std::map<std::string, ConfigDifference> found;
  for (const auto& [key, value] : before.values())
    if (!after.lacks_table_of(key, before)) found[key] = {key, value, ""};
  for (const auto& [key, value] : after.values()) {
    if (before.lacks_table_of(key, after)) continue;
    ConfigDifference& one = found[key];
    one.key = key;
    one.now = value;
  }
  std::vector<ConfigDifference> different;
  for (auto& [key, one] : found)
    if (one.then != one.now) different.push_back(std::move(one));
  return different;
}

}  // namespace millrace
