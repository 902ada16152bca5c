#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace millrace {

/// Where a JSON text stands, for complaints about it.
struct JsonSource {
  std::string name;        ///< The file.
  std::uint64_t line = 0;  ///< Which line of the file it is, from 1; 0: it is the whole file.
  std::string remedy;      ///< What to do about a damaged one; empty: nothing is advised.
};

class JsonValue;

/// A type that JSON is read as: beside it stands
///   void from_json(const JsonValue& json, Type& value);    which fails as JsonValue does, or by json.fail()
/// Its opposite is the library's to_json: see json_text.h. With a type, lists and objects of it can be read.
template <class Value>
concept ReadFromJson = requires(const JsonValue& json, Value& value) {
  from_json(json, value);
};

/// A value in a JSON text, read as what it should be. Every complaint is a ConfigError:
///   FILE:LINE:COLUMN: not JSON: ...                                of a text that is none, or names a key twice
///   FILE: a.b[2].c is "x", expected a whole number from 0 to 255   with the line behind FILE in a file of lines
/// and the remedy behind it. Numbers are checked before they are converted: none is cut, rounded or wrapped.
/// Copies are cheap: they share the text's content, and keep it.
class JsonValue {
 public:
  static JsonValue parse(std::string_view text, JsonSource source);
  /// Throws std::system_error if the file cannot be read.
  static JsonValue read(const std::filesystem::path& file, std::string remedy = "");

  /// The value as bool, int, std::int64_t, std::uint32_t, std::uint64_t, double (finite), std::string, a std::vector of
  /// these, or what is ReadFromJson.
  template <class Value>
  Value as() const;
  /// A member of an object, which must be there; with a fallback it may be absent, but not null.
  template <class Value>
  Value get(const std::string& key) const;
  template <class Value>
  Value get(const std::string& key, Value fallback) const;
  /// None if the member is null. It must be there.
  template <class Value>
  std::optional<Value> get_or_null(const std::string& key) const;

  bool is_null() const;
  bool has(const std::string& key) const;  ///< Whether an object has the member, null or not.
  JsonValue at(const std::string& key) const;
  std::vector<JsonValue> elements() const;                         ///< Of a list.
  std::vector<std::pair<std::string, JsonValue>> members() const;  ///< Of an object, in the text's order.
  const nlohmann::ordered_json& json() const { return *value_; }   ///< As long as this or a copy lives.
  std::string place() const;                                       ///< "FILE:LINE: PATH", as far as there are such.
  std::string place(const std::string& key) const;                 ///< Likewise of a member.
  [[noreturn]] void fail(const std::string& complaint) const;      ///< "FILE: PATH COMPLAINT; REMEDY"

 private:
  struct Document;
  JsonValue(std::shared_ptr<const Document> document, const nlohmann::ordered_json* value, std::string path)
      : document_(std::move(document)), value_(value), path_(std::move(path)) {}
  const nlohmann::ordered_json* find(const std::string& key) const;  ///< Fails if this is no object.
  bool is_null(const std::string& key) const;                        ///< A member that is there.
  [[noreturn]] void fail_at(const std::string& path, const std::string& complaint) const;
  /// Of the library's own types.
  template <class Value>
  Value plain() const;
  template <class Value>
  Value plain(const std::string& key) const;
  template <class Value>
  Value converted(const nlohmann::ordered_json& value, const std::string& key) const;

  std::shared_ptr<const Document> document_;
  const nlohmann::ordered_json* value_;
  std::string path_;  ///< From the text's top, as in a.b[2]; empty: the top itself.
};

template <ReadFromJson Value>
void from_json(const JsonValue& json, std::vector<Value>& values) {
  for (const JsonValue& element : json.elements()) values.push_back(element.as<Value>());
}

template <class Value>
void from_json(const JsonValue& json, std::map<std::string, Value>& values) {
  for (const auto& [key, member] : json.members()) values.emplace(key, member.template as<Value>());
}

template <class Value>
Value JsonValue::as() const {
  if constexpr (ReadFromJson<Value>) {
    Value value{};
    from_json(*this, value);
    return value;
  } else {
    return plain<Value>();
  }
}

template <class Value>
Value JsonValue::get(const std::string& key) const {
  if constexpr (ReadFromJson<Value>) {
    return at(key).as<Value>();
  } else {
    return plain<Value>(key);
  }
}

template <class Value>
Value JsonValue::get(const std::string& key, Value fallback) const {
  return has(key) ? get<Value>(key) : std::move(fallback);
}

template <class Value>
std::optional<Value> JsonValue::get_or_null(const std::string& key) const {
  if (has(key) && is_null(key)) return std::nullopt;
  return get<Value>(key);
}

/// Calls `use` with every line of a text of JSON lines, parsed. A text's last line needs no end.
template <class Use>
void for_each_json_line(const std::string& text, const std::string& name, const std::string& remedy, const Use& use) {
  std::uint64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    use(JsonValue::parse(std::string_view(text).substr(begin, end - begin), {name, ++number, remedy}));
    begin = end + 1;
  }
}

/// What is wrong with a text that nlohmann_json refused, without the library's own marks: "FILE:LINE:COLUMN: not JSON:
/// .." The exception is a nlohmann::json::exception.
std::string json_complaint(std::string_view text, const JsonSource& source, const std::exception& error);

}  // namespace millrace
