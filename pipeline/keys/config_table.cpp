#include "pipeline/keys/config_table.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "pipeline/keys/assignment.h"
#include "pipeline/keys/did_you_mean.h"
#include "pipeline/keys/large_integer.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

constexpr double kLargestWholeDouble = 9007199254740992.0;

/// The digits of an integer that TOML has no room for, or nothing.
std::optional<std::string> beyond_toml(const toml::node& node) {
  const auto* text = node.as_string();
  return text == nullptr ? std::nullopt : digits_of_large_integer(text->get());
}

bool is_text(const toml::node& node) {
  return node.is_string() && !beyond_toml(node);
}

/// As toml::parse, and integers of more than 64 bits with a sign become texts that beyond_toml() knows.
toml::table parse_toml(std::string text) {
  return toml::parse(with_large_integers_set_aside(std::move(text)));
}

std::string kind_of(const toml::node& node) {
  if (beyond_toml(node)) return "a number";
  if (node.is_string()) return "a text";
  if (node.is_integer() || node.is_floating_point()) return "a number";
  if (node.is_boolean()) return "true or false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

}  // namespace

bool holds(const WholeRange& range, std::uint64_t value) {
  return value >= range.least && value <= range.most && value % range.multiple_of == 0;
}

bool holds(const NumberRange& range, double value) {
  const bool is_above = range.least_excluded ? value > range.least : value >= range.least;
  const bool is_below = range.most_excluded ? value < range.most : value <= range.most;
  return std::isfinite(value) && is_above && is_below;
}

std::string expected(const WholeRange& range) {
  return fmt::format("a whole number from {} to {}{}", range.least, range.most,
                     range.multiple_of == 1 ? "" : fmt::format(", a multiple of {}", range.multiple_of));
}

std::string expected(const NumberRange& range) {
  std::vector<std::string> excluded;
  if (range.least_excluded) excluded.push_back(fmt::format("{:.6g}", range.least));
  if (range.most_excluded) excluded.push_back(fmt::format("{:.6g}", range.most));
  return fmt::format("a number from {:.6g} to {:.6g}{}", range.least, range.most,
                     excluded.empty() ? "" : fmt::format(" ({} excluded)", fmt::join(excluded, " and ")));
}

struct ConfigTable::Impl {
  std::filesystem::path file;
  std::shared_ptr<toml::table> root;
  std::set<const toml::node*> from_command_line;
  std::vector<NamedFile> in_files;  ///< What the command line says of files that are named here.
  const toml::table* table = nullptr;
  std::string name;  ///< "[train] " in complaints; empty for the file's top.
  mutable std::set<std::string> asked;
  mutable std::set<std::string> opened;  ///< Keys whose files were.

  static ConfigTable read(const std::filesystem::path& file, const std::vector<Assignment>& assignments) {
    if (!std::filesystem::is_regular_file(file)) throw ConfigError(fmt::format("{}: no such file", file.string()));
    ConfigTable table = parse(read_whole_file(file), file);
    for (const Assignment& assignment : assignments) {
      const auto assigned = assign(*table.impl_->root, assignment);
      if (const auto* named = std::get_if<NamedFile>(&assigned)) {
        table.impl_->in_files.push_back(*named);
      } else {
        table.impl_->from_command_line.insert(std::get<const toml::node*>(assigned));
      }
    }
    return table;
  }

  /// The name of a table in this one: "phase.train".
  std::string dotted(const std::string& key) const {
    std::string own = name;
    std::erase_if(own, [](char c) { return c == '[' || c == ']' || c == ' '; });
    return own.empty() ? key : own + "." + key;
  }

  /// As this one, but for what was asked of it.
  std::shared_ptr<Impl> of(const toml::table* other, std::string its_name) const {
    auto impl = std::make_shared<Impl>(*this);
    impl->table = other;
    impl->name = std::move(its_name);
    impl->asked.clear();
    impl->opened.clear();
    return impl;
  }

  const toml::node* find(const std::string& key) const {
    asked.insert(key);
    return table->get(key);
  }
};

ConfigTable ConfigTable::read(const std::filesystem::path& file, const std::vector<std::string>& sets) {
  return Impl::read(file, {sets.begin(), sets.end()});
}

ConfigTable ConfigTable::parse(const std::string& text, const std::filesystem::path& name) {
  auto impl = std::make_shared<Impl>();
  impl->file = name;
  try {
    impl->root = std::make_shared<toml::table>(parse_toml(text));
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    throw ConfigError(fmt::format("{}:{}:{}: {}", name.string(), at.line, at.column, error.description()));
  }
  impl->table = impl->root.get();
  return ConfigTable(std::move(impl));
}

bool ConfigTable::has(const std::string& key) const {
  return impl_->find(key) != nullptr;
}

std::string ConfigTable::text(const std::string& key) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) fail(key, "is missing");
  if (!is_text(*node)) fail(key, fmt::format("is {}, expected a text", kind_of(*node)));
  return node->as_string()->get();
}

std::string ConfigTable::text(const std::string& key, const std::string& fallback) const {
  return has(key) ? text(key) : fallback;
}

double ConfigTable::number(const std::string& key, NumberRange range) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) fail(key, "is missing");
  double value = 0;
  if (const auto* whole = node->as_integer()) {
    value = static_cast<double>(whole->get());
  } else if (const auto* real = node->as_floating_point()) {
    value = real->get();
  } else if (const std::optional<std::string> digits = beyond_toml(*node)) {
    value = std::strtod(digits->c_str(), nullptr);
  } else {
    fail(key, fmt::format("is {}, expected a number", kind_of(*node)));
  }
  if (!std::isfinite(value)) fail(key, "is not finite");
  if (!holds(range, value)) fail(key, fmt::format("is {}, expected {}", value, expected(range)));
  return value;
}

double ConfigTable::number(const std::string& key, double fallback, NumberRange range) const {
  return has(key) ? number(key, range) : fallback;
}

std::uint64_t ConfigTable::count(const std::string& key, WholeRange range) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) fail(key, "is missing");
  const auto refuse = [&](const auto& found, const char* advice = "") {
    fail(key, fmt::format("is {}, expected {}{}", found, expected(range), advice));
  };
  std::uint64_t value = 0;
  if (const auto* whole = node->as_integer()) {
    if (whole->get() < 0) refuse(whole->get());
    value = static_cast<std::uint64_t>(whole->get());
  } else if (const auto* real = node->as_floating_point()) {
    const double number = real->get();
    if (number > kLargestWholeDouble) refuse(number, "; from 2^53 on it must be written without point and exponent");
    if (!(number >= 0) || number != std::floor(number)) refuse(number);
    value = static_cast<std::uint64_t>(number);
  } else if (const std::optional<std::string> digits = beyond_toml(*node)) {
    const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value);
    if (error != std::errc()) refuse(*digits);
  } else {
    refuse(kind_of(*node));
  }
  if (!holds(range, value)) refuse(value);
  return value;
}

std::uint64_t ConfigTable::count(const std::string& key, std::uint64_t fallback, WholeRange range) const {
  return has(key) ? count(key, range) : fallback;
}

bool ConfigTable::flag(const std::string& key, bool fallback) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return fallback;
  if (!node->is_boolean()) fail(key, fmt::format("is {}, expected true or false", kind_of(*node)));
  return node->as_boolean()->get();
}

std::vector<std::string> ConfigTable::texts(const std::string& key) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return {};
  if (is_text(*node)) return {text(key)};
  if (!node->is_array()) fail(key, fmt::format("is {}, expected a list of texts", kind_of(*node)));
  std::vector<std::string> texts;
  for (const toml::node& element : *node->as_array()) {
    if (!is_text(element)) fail(key, fmt::format("holds {}, expected texts only", kind_of(element)));
    texts.push_back(element.as_string()->get());
  }
  return texts;
}

std::vector<std::string> ConfigTable::values(const std::string& key) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return {};
  std::vector<std::string> values;
  const auto add = [&](const toml::node& value) {
    if (const std::optional<std::string> digits = beyond_toml(value)) {
      values.push_back(*digits);
    } else if (const auto* text = value.as_string()) {
      values.push_back(text->get());
    } else if (const auto* whole = value.as_integer()) {
      values.push_back(fmt::format("{}", whole->get()));
    } else if (const auto* flag = value.as_boolean()) {
      values.emplace_back(flag->get() ? "true" : "false");
    } else {
      fail(key, fmt::format("holds {}, expected texts, whole numbers or booleans", kind_of(value)));
    }
  };
  if (const auto* list = node->as_array()) {
    for (const toml::node& element : *list) add(element);
  } else {
    add(*node);
  }
  return values;
}

bool ConfigTable::is_table(const std::string& key) const {
  const toml::node* node = impl_->find(key);
  return node != nullptr && node->is_table();
}

std::string ConfigTable::choice(const std::string& key, const std::string& fallback,
                                const std::vector<std::string>& choices) const {
  const std::string value = text(key, fallback);
  if (std::ranges::find(choices, value) == choices.end())
    fail(key,
         fmt::format("is \"{}\", expected one of {}{}", value, fmt::join(choices, ", "), did_you_mean(value, choices)));
  return value;
}

ConfigTable ConfigTable::table(const std::string& key) const {
  static const toml::table empty;
  const toml::node* node = impl_->find(key);
  if (node != nullptr && !node->is_table()) fail(key, fmt::format("is {}, expected a table [{}]", kind_of(*node), key));
  return ConfigTable(impl_->of(node == nullptr ? &empty : node->as_table(), fmt::format("[{}] ", impl_->dotted(key))));
}

std::vector<ConfigTable> ConfigTable::tables(const std::string& key) const {
  const toml::node* node = impl_->find(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr || (!array->empty() && !array->is_homogeneous(toml::node_type::table)))
    fail(key, fmt::format("is {}, expected tables [[{}]]", kind_of(*node), key));
  std::vector<ConfigTable> tables;
  for (const toml::node& element : *array)
    tables.push_back(ConfigTable(impl_->of(element.as_table(), fmt::format("[[{}]] ", impl_->dotted(key)))));
  return tables;
}

std::vector<std::string> ConfigTable::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : *impl_->table) keys.emplace_back(key.str());
  return keys;
}

std::filesystem::path ConfigTable::path(const std::string& key) const {
  const std::string path = text(key);
  const bool from_command_line = impl_->from_command_line.contains(impl_->find(key));
  const std::filesystem::path start = from_command_line ? std::filesystem::path() : impl_->file.parent_path();
  return std::filesystem::absolute(start / path).lexically_normal();
}

ConfigTable ConfigTable::file_at(const std::string& key) const {
  std::vector<Assignment> inside;
  for (const NamedFile& named : impl_->in_files)
    if (named.table == impl_->table && named.key == key) inside.push_back(named.inside);
  impl_->opened.insert(key);
  return Impl::read(path(key), inside);
}

void ConfigTable::refuse_unknown_keys() const {
  for (const NamedFile& named : impl_->in_files) {
    if (named.table == impl_->table && impl_->asked.contains(named.key) && !impl_->opened.contains(named.key))
      fail(named.key, fmt::format("is a single value, which has no keys: --set {}", named.inside.text));
  }
  for (const auto& [key, value] : *impl_->table) {
    const std::string name(key.str());
    if (impl_->asked.contains(name)) continue;
    fail(name, "is not a known key" + did_you_mean(name, {impl_->asked.begin(), impl_->asked.end()}));
  }
}

std::string ConfigTable::place_of(const std::string& key) const {
  toml::source_region where = impl_->table->source();
  const auto found = impl_->table->find(key);
  if (found != impl_->table->end() && impl_->from_command_line.contains(&found->second))
    return impl_->file.string() + ", --set";
  if (found != impl_->table->end()) where = found->first.source();
  return where.begin.line == 0 ? impl_->file.string()
                               : fmt::format("{}:{}:{}", impl_->file.string(), where.begin.line, where.begin.column);
}

void ConfigTable::fail(const std::string& key, const std::string& complaint) const {
  throw ConfigError(fmt::format("{}: {}{} {}", place_of(key), impl_->name, key, complaint));
}

const std::filesystem::path& ConfigTable::file() const {
  return impl_->file;
}

}  // namespace millrace
