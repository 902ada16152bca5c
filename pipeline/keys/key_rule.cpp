#include "pipeline/keys/key_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"

namespace millrace {
namespace {

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

/// As JSON writes it; of a list or an object only what it is, since they may be as long as their file.
std::string found_in(const nlohmann::ordered_json& json) {
  if (json.is_array()) return "a list";
  if (json.is_object()) return "an object";
  return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

[[noreturn]] void refuse(const JsonValue& object, const std::string& name, const std::string& complaint) {
  throw ConfigError(fmt::format("{}: \"{}\" {}", object.place(), name, complaint));
}

/// The value as the kind that the range wants, or nothing.
std::optional<KeyValue> of_kind(const nlohmann::ordered_json& json, const KeyRange& range) {
  using Found = std::optional<KeyValue>;
  return std::visit(
      Overloaded{[&](Flag) { return json.is_boolean() ? Found(json.get<bool>()) : std::nullopt; },
                 [&](const WholeRange&) {
                   return json.is_number_unsigned() ? Found(json.get<std::uint64_t>()) : std::nullopt;
                 },
                 [&](const NumberRange&) { return json.is_number() ? Found(json.get<double>()) : std::nullopt; },
                 [&](const auto& text) -> Found {
                   using Range = std::decay_t<decltype(text)>;
                   if constexpr (std::is_same_v<Range, Texts>) {
                     const bool all =
                         json.is_array() && std::ranges::all_of(json, [](const auto& e) { return e.is_string(); });
                     return all ? Found(json.get<std::vector<std::string>>()) : std::nullopt;
                   } else {
                     return json.is_string() ? Found(json.get<std::string>()) : std::nullopt;
                   }
                 }},
      range);
}

/// 16777216 as "16,777,216".
std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string grouped(double number) {
  constexpr double kLargestGrouped = 1e15;
  const bool is_whole = number >= 0 && number < kLargestGrouped && number == std::floor(number);
  return is_whole ? grouped(static_cast<std::uint64_t>(number)) : fmt::format("{:.6g}", number);
}

std::string range_for_people(const KeyRange& range) {
  return std::visit(
      Overloaded{[](const WholeRange& whole) {
                   const bool open = whole.most >= std::numeric_limits<std::int64_t>::max();
                   std::string text = open ? "at least " + grouped(whole.least)
                                           : fmt::format("{} to {}", grouped(whole.least), grouped(whole.most));
                   if (open && whole.most == std::numeric_limits<std::uint64_t>::max()) text = "0 to 2^64 - 1";
                   if (whole.multiple_of == 2) text += ", even";
                   return text;
                 },
                 [](const NumberRange& number) {
                   const std::string least =
                       fmt::format("{} {}", number.least_excluded ? "above" : "at least", grouped(number.least));
                   const bool open = number.most >= NumberRange{}.most;
                   return open ? least
                               : fmt::format("{}, {} {}", least, number.most_excluded ? "below" : "at most",
                                             grouped(number.most));
                 },
                 [](const Choices& choices) {
                   std::vector<std::string> names;
                   for (const std::string& name : choices.names) names.push_back(fmt::format("`\"{}\"`", name));
                   return fmt::format("{}", fmt::join(names, ", "));
                 },
                 [](const auto&) { return std::string(); }},
      range);
}

std::string type_for_people(const KeyRange& range) {
  constexpr const char* kTypes[] = {"flag", "whole number", "number", "choice", "text", "path", "texts", "table"};
  return kTypes[range.index()];
}

std::string change_for_people(Alters alters) {
  switch (alters) {
    case Alters::rows:
      return "rows";
    case Alters::losses:
      return "losses";
    case Alters::nothing:
      break;
  }
  return "nothing";
}

}  // namespace

KeyValue read_key(const ConfigTable& table, const KeyRule& rule) {
  const std::string& name = rule.name;
  return std::visit(
      Overloaded{[&](Flag) -> KeyValue { return table.flag(name, false); },
                 [&](const WholeRange& range) -> KeyValue { return table.count(name, range); },
                 [&](const NumberRange& range) -> KeyValue { return table.number(name, range); },
                 [&](const Choices& choices) -> KeyValue { return table.choice(name, "", choices.names); },
                 [&](Path) -> KeyValue {
                   // An empty one is the current folder, as none is.
                   return table.text(name).empty() ? std::string() : table.path(name).string();
                 },
                 [&](Texts) -> KeyValue { return table.texts(name); },
                 [&](const auto&) -> KeyValue { return table.text(name); }},
      rule.range);
}

bool has_key(const JsonValue& object, const std::string& name) {
  return object.has(name) && !object.at(name).is_null();
}

KeyValue read_key(const JsonValue& object, const std::string& name, const KeyRule& rule) {
  const JsonValue member = object.at(name);
  const std::optional<KeyValue> value = of_kind(member.json(), rule.range);
  if (!value) refuse(object, name, fmt::format("is {}, expected {}", found_in(member.json()), expected(rule.range)));
  if (const std::string complaint = complaint_about(*value, rule.range); !complaint.empty())
    refuse(object, name, complaint);
  return *value;
}

std::string expected(const KeyRange& range) {
  return std::visit(
      Overloaded{[](const WholeRange& whole) { return expected(whole); },
                 [](const NumberRange& number) { return expected(number); },
                 [](const Choices& choices) { return fmt::format("one of {}", fmt::join(choices.names, ", ")); },
                 [](Flag) { return std::string("true or false"); }, [](Path) { return std::string("a path"); },
                 [](Texts) { return std::string("a list of texts"); }, [](Tables) { return std::string("tables"); },
                 [](Text) { return std::string("a text"); }},
      range);
}

std::string complaint_about(const KeyValue& value, const KeyRange& range) {
  bool fits = true;
  if (const auto* whole = std::get_if<WholeRange>(&range)) {
    fits = holds(*whole, std::get<std::uint64_t>(value));
  } else if (const auto* number = std::get_if<NumberRange>(&range)) {
    fits = holds(*number, std::get<double>(value));
  } else if (const auto* choices = std::get_if<Choices>(&range)) {
    fits = std::ranges::find(choices->names, std::get<std::string>(value)) != choices->names.end();
  }
  return fits ? "" : fmt::format("is {}; expected {}", value_text(value), expected(range));
}

std::string value_text(const KeyValue& value) {
  return std::visit(Overloaded{[](bool flag) { return std::string(flag ? "true" : "false"); },
                               [](const std::string& text) { return quoted(text); },
                               [](const std::vector<std::string>& texts) {
                                 std::vector<std::string> all;
                                 for (const std::string& text : texts) all.push_back(quoted(text));
                                 return fmt::format("[{}]", fmt::join(all, ", "));
                               },
                               [](auto number) { return fmt::format("{}", number); }},
                    value);
}

void set_member(nlohmann::ordered_json& object, const std::string& name, const KeyValue& value) {
  std::visit([&](const auto& typed) { object[name] = typed; }, value);
}

void add_line(TomlWriter& toml, const std::string& name, const KeyValue& value) {
  std::visit([&](const auto& typed) { toml.add(name, typed); }, value);
}

std::string key_table_head() {
  return "| key | type | default | range | unit | alters | |\n| --- | --- | --- | --- | --- | --- | --- |\n";
}

std::string key_line(const KeyRule& rule, const KeyValue* value) {
  std::string fallback = rule.fallback;
  if (fallback.empty()) {
    if (value == nullptr || rule.required) {
      fallback = rule.required ? "must be there" : "none";
    } else {
      const auto* texts = std::get_if<std::vector<std::string>>(value);
      fallback = texts != nullptr && texts->empty() ? "none" : fmt::format("`{}`", value_text(*value));
    }
  }
  const std::string meaning =
      rule.needs.empty() ? rule.meaning : fmt::format("{}; only with `{}`", rule.meaning, rule.needs);
  return fmt::format("| `{}` | {} | {} | {} | {} | {} | {} |\n", rule.name, type_for_people(rule.range), fallback,
                     range_for_people(rule.range), rule.unit,
                     change_for_people(rule.alters) + (rule.by_phase ? ", by phase" : ""), meaning);
}

}  // namespace millrace
