#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A TOML text, key by key in the order that readers know: runs and outputs are told apart by hashes of such texts, so
/// the same values must always be the same bytes. Every text that ConfigTable reads back the same can be written.
class TomlWriter {
 public:
  void begin_table(std::string_view name);    ///< [name]: what follows stands in it.
  void begin_element(std::string_view name);  ///< [[name]], one more of a list of tables.

  /// Throw ConfigError for a text that is not UTF-8. Numbers have the fewest digits that read back as the same.
  void add(std::string_view key, const std::string& text);
  void add(std::string_view key, const char* text);
  void add(std::string_view key, bool flag);
  void add(std::string_view key, int number);
  void add(std::string_view key, std::uint64_t number);  ///< Beyond TOML's, too: see large_integer.h.
  void add(std::string_view key, double number);
  void add(std::string_view key, const std::vector<std::string>& texts);
  void add(std::string_view key, const std::map<std::string, std::vector<std::string>>& table);  ///< In one line.

  const std::string& text() const { return text_; }

 private:
  void line(std::string_view key, const std::string& value);

  std::string text_;
};

/// The text as a TOML basic string, in quotes. Throws ConfigError if it is not UTF-8, which all TOML is.
std::string quoted(const std::string& text);

}  // namespace millrace
