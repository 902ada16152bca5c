#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/keys/config_difference.h"
#include "pipeline/keys/did_you_mean.h"
#include "pipeline/keys/key_rule.h"
#include "stages/errors.h"

namespace millrace {

/// What becomes of a required key that is not there.
enum class Missing : std::uint8_t { keeps_its_value, is_refused };

/// The keys of one table of a configuration, and the members of Config that hold them: reading, writing, checking,
/// comparing and describing are all of this list. Keys are in the order in which they are told.
template <class Config>
class KeyTable {
 public:
  using Condition = std::function<bool(const Config&)>;
  struct Key {
    KeyRule rule;
    std::function<KeyValue(const Config&)> get;  ///< Empty: other code reads and writes the key.
    std::function<void(Config&, const KeyValue&)> set;
    Condition matters;  ///< Whether it does anything; empty: always.
  };

  /// `name` is the table's in a run file; empty: the file's top.
  explicit KeyTable(std::string name, Config defaults = {}) : name_(std::move(name)), defaults_(std::move(defaults)) {}

  /// A member that is an int, std::uint64_t, double, bool, std::string or std::vector<std::string>, as the rule's range
  /// says. `matters` goes with the rule's `needs`.
  template <class Value>
  void add(KeyRule rule, Value Config::*member, Condition matters = {}) {
    keys_.push_back({std::move(rule),
                     [member](const Config& config) -> KeyValue {
                       if constexpr (std::is_same_v<Value, int>)
                         return static_cast<std::uint64_t>(config.*member);
                       else
                         return config.*member;
                     },
                     [member](Config& config, const KeyValue& value) {
                       if constexpr (std::is_same_v<Value, int>)
                         config.*member = static_cast<int>(std::get<std::uint64_t>(value));
                       else
                         config.*member = std::get<Value>(value);
                     },
                     std::move(matters)});
  }

  /// A member that is an enumeration, whose values go by names.
  template <class Value, class Names>
  requires std::is_enum_v<Value>
  void add(KeyRule rule, Value Config::*member, const Names& names) {
    std::vector<std::pair<Value, std::string>> known;
    Choices choices;
    for (const auto& [value, name] : names) {
      known.emplace_back(value, name);
      choices.names.emplace_back(name);
    }
    rule.range = std::move(choices);
    keys_.push_back({std::move(rule),
                     [member, known](const Config& config) -> KeyValue {
                       for (const auto& [value, name] : known)
                         if (config.*member == value) return name;
                       return std::string();
                     },
                     [member, known](Config& config, const KeyValue& wanted) {
                       for (const auto& [value, name] : known)
                         if (name == std::get<std::string>(wanted)) config.*member = value;
                     },
                     {}});
  }

  /// A key that other code reads and writes.
  void tell(KeyRule rule) { keys_.push_back({std::move(rule), {}, {}, {}}); }

  const std::string& name() const { return name_; }
  const Config& defaults() const { return defaults_; }
  const std::vector<Key>& keys() const { return keys_; }
  /// As --set takes it.
  std::string dotted(const KeyRule& rule) const { return name_.empty() ? rule.name : name_ + "." + rule.name; }

  /// Takes every key that is there. Refuses values out of range, and keys that would do nothing; what no key is, is
  /// left to the table's refuse_unknown_keys().
  void read(const ConfigTable& table, Config& config, Missing missing = Missing::is_refused) const {
    for (const Key& key : keys_) {
      if (!key.set) continue;
      if (table.has(key.rule.name)) {
        key.set(config, read_key(table, key.rule));
      } else if (key.rule.required && missing == Missing::is_refused) {
        table.fail(key.rule.name, "is missing, expected " + expected(key.rule.range));
      }
    }
    refuse_what_does_nothing(table, config);
  }

  /// Likewise of an object of a JSON text, where older names count too. What no key is, is passed over.
  void read(const JsonValue& object, Config& config) const {
    for (const Key& key : keys_) {
      if (!key.set) continue;
      const KeyRule& rule = key.rule;
      if (has_key(object, rule.name)) {
        key.set(config, read_key(object, rule.name, rule));
      } else if (!rule.older.empty() && has_key(object, rule.older)) {
        key.set(config, read_key(object, rule.older, rule));
      } else if (rule.required) {
        throw ConfigError(
            fmt::format("{}: \"{}\" is missing, expected {}", object.place(), rule.name, expected(rule.range)));
      }
    }
  }

  using Values = std::vector<std::pair<std::string, KeyValue>>;

  /// Likewise what a phase says otherwise than `config`, which takes it. Refuses other keys than those that may change
  /// by phase.
  Values read_by_phase(const ConfigTable& table, Config& config) const {
    std::vector<std::string> may;
    for (const Key& key : keys_)
      if (key.rule.by_phase) may.push_back(key.rule.name);
    for (const std::string& name : table.keys()) {
      if (std::ranges::find(may, name) != may.end()) continue;
      const bool is_key = std::ranges::any_of(keys_, [&](const Key& key) { return key.rule.name == name; });
      table.fail(name, fmt::format("{}; these can: {}",
                                   is_key ? "cannot change by phase" : "is not a known key" + did_you_mean(name, may),
                                   fmt::join(may, ", ")));
    }
    Values values;
    for (const Key& key : keys_) {
      if (!key.rule.by_phase || !table.has(key.rule.name)) continue;
      values.emplace_back(key.rule.name, read_key(table, key.rule));
      key.set(config, values.back().second);
    }
    refuse_what_does_nothing(table, config);
    table.refuse_unknown_keys();
    return values;
  }

  /// Gives the keys of these names these values.
  void set(Config& config, const Values& values) const {
    for (const auto& [name, value] : values)
      for (const Key& key : keys_)
        if (key.rule.name == name) key.set(config, value);
  }

  /// The values of `now` that `then` does not have.
  Values changes(const Config& then, const Config& now) const {
    Values changed;
    for (const Key& key : keys_)
      if (key.get && key.get(then) != key.get(now)) changed.emplace_back(key.rule.name, key.get(now));
    return changed;
  }

  /// Every key.
  void write_all(const Config& config, nlohmann::ordered_json& object) const {
    for (const Key& key : keys_)
      if (key.get) set_member(object, key.rule.name, key.get(config));
  }

  /// The keys that a file needs to be read back to the same configuration, among them those of other code that `told`
  /// has; only those that alter `what`, if it is said.
  Values values(const Config& config, std::optional<Alters> what = std::nullopt,
                const std::map<std::string, KeyValue>& told = {}) const {
    Values values;
    for (const Key& key : keys_) {
      const std::string& name = key.rule.name;
      if (!key.get && told.contains(name)) values.emplace_back(name, told.at(name));
      if (!key.get || (key.matters && !key.matters(config)) || (what && key.rule.alters != *what)) continue;
      KeyValue value = key.get(config);
      if (!key.rule.only_if_changed || value != key.get(defaults_)) values.emplace_back(name, std::move(value));
    }
    return values;
  }

  /// The same as lines of TOML, behind what is written so far.
  void write(const Config& config, TomlWriter& toml, const std::map<std::string, KeyValue>& told = {}) const {
    for (const auto& [name, value] : values(config, std::nullopt, told)) add_line(toml, name, value);
  }

  /// Likewise as a table of its own, if there is a line to write.
  void write_table(const Config& config, TomlWriter& toml, const std::map<std::string, KeyValue>& told = {}) const {
    if (values(config, std::nullopt, told).empty()) return;
    toml.begin_table(name_);
    write(config, toml, told);
  }

  /// Throws ConfigError naming `where` and the first key whose value is out of its range.
  void check(const Config& config, const std::string& where) const {
    for (const Key& key : keys_) {
      if (!key.get) continue;
      if (const std::string complaint = complaint_about(key.get(config), key.rule.range); !complaint.empty())
        throw ConfigError(fmt::format("{}: \"{}\" {}", where, key.rule.name, complaint));
    }
  }

  /// The keys that two configurations say otherwise; only those that alter `what`, if it is said.
  std::vector<ConfigDifference> differences(const Config& then, const Config& now,
                                            std::optional<Alters> what = std::nullopt) const {
    std::vector<ConfigDifference> different;
    for (const Key& key : keys_) {
      if (!key.get || (what && key.rule.alters != *what)) continue;
      const KeyValue before = key.get(then);
      const KeyValue after = key.get(now);
      if (before != after) different.push_back({dotted(key.rule), value_text(before), value_text(after)});
    }
    return different;
  }

  /// The keys as a table of docs/keys.md.
  std::string markdown() const {
    std::string lines = key_table_head();
    for (const Key& key : keys_) {
      const std::optional<KeyValue> value = key.get ? std::optional(key.get(defaults_)) : std::nullopt;
      lines += key_line(key.rule, value ? &*value : nullptr);
    }
    return lines;
  }

 private:
  void refuse_what_does_nothing(const ConfigTable& table, const Config& config) const {
    for (const Key& key : keys_) {
      if (key.matters && !key.matters(config) && table.has(key.rule.name))
        table.fail(key.rule.name, "does nothing without " + key.rule.needs);
    }
  }

  std::string name_;
  Config defaults_;
  std::vector<Key> keys_;
};

}  // namespace millrace
