#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/json_value.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"

namespace millrace {

/// What a key holds. Whole numbers are never below 0.
using KeyValue = std::variant<bool, std::uint64_t, double, std::string, std::vector<std::string>>;

struct Flag {};  ///< true or false
struct Text {};
struct Path {};   ///< Relative to the file it stands in, or to the current folder where --set gave it.
struct Texts {};  ///< A list of texts.
struct Choices {
  std::vector<std::string> names;
};
struct Tables {};  ///< [[key]], or [key] with keys of their own.
/// What a key may hold.
using KeyRange = std::variant<Flag, WholeRange, NumberRange, Choices, Text, Path, Texts, Tables>;

/// What of a run that was begun becomes another when a key is changed.
enum class Alters : std::uint8_t { rows, losses, nothing };

/// One key of a configuration: all that reading, writing, checking and describing it takes but the member it is kept
/// in.
struct KeyRule {
  std::string name;
  KeyRange range = {};
  std::string unit = {};      ///< Empty: it has none.
  std::string meaning = {};   ///< In Markdown, one line.
  std::string fallback = {};  ///< The default in words, where it is no value of its own.
  std::string needs = {};     ///< Without which it does nothing, as in optimizer = "adamw".
  std::string older = {};     ///< Another name of it in JSON.
  bool required = false;
  bool only_if_changed = false;  ///< Files that are written name it only where it is not the default.
  bool by_phase = false;         ///< A phase may say it otherwise.
  Alters alters = Alters::losses;
};

/// The key's value, which is there and within its range. Throws ConfigError.
KeyValue read_key(const ConfigTable& table, const KeyRule& rule);
/// Of a member of a JSON object; null counts as absent. `name` is the key's, or its older one.
KeyValue read_key(const JsonValue& object, const std::string& name, const KeyRule& rule);
bool has_key(const JsonValue& object, const std::string& name);

/// "a whole number from 1 to 256", "one of quota, random"
std::string expected(const KeyRange& range);
/// Why the range does not hold the value, or nothing: "is 300; expected a whole number from 1 to 256".
std::string complaint_about(const KeyValue& value, const KeyRange& range);

/// The value as TOML writes it: "quota" in quotes, 0.001, [1, 2].
std::string value_text(const KeyValue& value);
void set_member(nlohmann::ordered_json& object, const std::string& name, const KeyValue& value);
void add_line(TomlWriter& toml, const std::string& name, const KeyValue& value);

/// A key's line of docs/keys.md, and the lines above the first one. `value` is the default; none: the key must be
/// there, or its rule says in words what holds without it.
std::string key_line(const KeyRule& rule, const KeyValue* value);
std::string key_table_head();

}  // namespace millrace
