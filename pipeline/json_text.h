#pragma once

#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

/// What JSON is made with; for sources only, the library is long to compile. A type that is written has a
///   void to_json(nlohmann::ordered_json& json, const Type& value);
/// beside it, and then stands in a value like any number: Json{{"ledger", state.ledger}}. Reading is json_value.h's.

/// No value is null.
template <class Value>
struct nlohmann::adl_serializer<std::optional<Value>> {
  template <class Json>
  static void to_json(Json& json, const std::optional<Value>& value) {
    if (value) {
      json = *value;
    } else {
      json = nullptr;
    }
  }
};

/// Nor is none that could be shared.
template <>
struct nlohmann::adl_serializer<std::shared_ptr<const nlohmann::ordered_json>> {
  static void to_json(nlohmann::ordered_json& json, const std::shared_ptr<const nlohmann::ordered_json>& value) {
    json = value ? *value : nlohmann::ordered_json();
  }
};

namespace millrace {

using Json = nlohmann::ordered_json;

/// A number that may be none (0 / 0): null stands for what is not finite.
Json finite_or_null(double number);

/// A value as text: here all JSON of this program becomes text. Bytes that are no UTF-8 (of a shard, of a file's name)
/// are replaced by U+FFFD, numbers that are not finite by null.
std::string json_line(const Json& json);  ///< In one line, without its end.
std::string json_page(const Json& json);  ///< Over several lines, indented, for people; with its end.
/// In one line but for the last member, which must be a list: each of its elements has a line of its own. With its end.
std::string json_table(Json object);

}  // namespace millrace
