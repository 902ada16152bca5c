#include "pipeline/keys/toml_writer.h"

#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include "stages/errors.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

std::string list_of(const std::vector<std::string>& texts) {
  std::vector<std::string> in_quotes;
  for (const std::string& text : texts) in_quotes.push_back(quoted(text));
  return fmt::format("[{}]", fmt::join(in_quotes, ", "));
}

}  // namespace

std::string quoted(const std::string& text) {
  if (!is_utf8(text))
    throw ConfigError(fmt::format("{}: not valid UTF-8, so it can be in no TOML file; rename it", text));
  const toml::value<std::string> value(text);
  std::ostringstream out;
  out << toml::toml_formatter(value, toml::format_flags::allow_unicode_strings);
  return out.str();
}

void TomlWriter::begin_table(std::string_view name) {
  text_ += fmt::format("\n[{}]\n", name);
}

void TomlWriter::begin_element(std::string_view name) {
  text_ += fmt::format("\n[[{}]]\n", name);
}

void TomlWriter::add(std::string_view key, const std::string& text) {
  line(key, quoted(text));
}

void TomlWriter::add(std::string_view key, const char* text) {
  line(key, quoted(text));
}

void TomlWriter::add(std::string_view key, bool flag) {
  line(key, flag ? "true" : "false");
}

void TomlWriter::add(std::string_view key, int number) {
  line(key, fmt::format("{}", number));
}

void TomlWriter::add(std::string_view key, std::uint64_t number) {
  line(key, fmt::format("{}", number));
}

void TomlWriter::add(std::string_view key, double number) {
  line(key, fmt::format("{}", number));
}

void TomlWriter::add(std::string_view key, const std::vector<std::string>& texts) {
  line(key, list_of(texts));
}

void TomlWriter::add(std::string_view key, const std::map<std::string, std::vector<std::string>>& table) {
  std::vector<std::string> members;
  for (const auto& [name, texts] : table) members.push_back(fmt::format("{} = {}", quoted(name), list_of(texts)));
  line(key, fmt::format("{{{}}}", fmt::join(members, ", ")));
}

void TomlWriter::line(std::string_view key, const std::string& value) {
  text_ += fmt::format("{} = {}\n", key, value);
}

}  // namespace millrace
