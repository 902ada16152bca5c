#include "pipeline/json_value.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <set>
#include <type_traits>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

constexpr std::size_t kMostShown = 60;  ///< Of a text in a complaint.
constexpr int kDeepest = 64;  ///< Lists and objects within one another; writing deeper ones could end the stack.

/// Readable in a terminal whatever the bytes are, and short.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMostShown)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return text.size() > kMostShown ? out + "..." : out;
}

/// Never the value as JSON: a list may be as deep as its text is long.
std::string found_in(const Json& value) {
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_object()) return "an object";
  if (value.is_string()) return fmt::format("\"{}\"", shown(value.get_ref<const std::string&>()));
  return value.dump();
}

struct Mismatch {
  std::string path;  ///< Below the value.
  const Json* found;
  std::string expected;
};

template <class Value>
std::string expected_of() {
  if constexpr (std::is_same_v<Value, bool>) {
    return "true or false";
  } else if constexpr (std::is_integral_v<Value>) {
    return fmt::format("a whole number from {} to {}", std::numeric_limits<Value>::min(),
                       std::numeric_limits<Value>::max());
  } else if constexpr (std::is_floating_point_v<Value>) {
    return "a number";
  } else if constexpr (std::is_same_v<Value, std::string>) {
    return "a text";
  } else {
    return "a list";
  }
}

template <class Value>
std::optional<Mismatch> convert(const Json& json, Value& value) {
  const Mismatch mismatch{"", &json, expected_of<Value>()};
  if constexpr (std::is_same_v<Value, bool>) {
    if (!json.is_boolean()) return mismatch;
    value = json.get<bool>();
  } else if constexpr (std::is_integral_v<Value>) {
    if (!json.is_number_integer()) return mismatch;
    const bool fits = json.is_number_unsigned() ? std::in_range<Value>(json.get<std::uint64_t>())
                                                : std::in_range<Value>(json.get<std::int64_t>());
    if (!fits) return mismatch;
    value = json.get<Value>();
  } else if constexpr (std::is_floating_point_v<Value>) {
    if (!json.is_number() || !std::isfinite(json.get<Value>())) return mismatch;
    value = json.get<Value>();
  } else if constexpr (std::is_same_v<Value, std::string>) {
    if (!json.is_string()) return mismatch;
    value = json.get_ref<const std::string&>();
  } else {
    if (!json.is_array()) return mismatch;
    value.clear();
    for (std::size_t i = 0; i < json.size(); ++i) {
      typename Value::value_type element{};
      if (std::optional<Mismatch> wrong = convert(json[i], element)) {
        wrong->path = fmt::format("[{}]{}", i, wrong->path);
        return wrong;
      }
      value.push_back(std::move(element));
    }
  }
  return std::nullopt;
}

std::string extended(const std::string& path, const std::string& key) {
  const bool plain = !key.empty() && std::ranges::all_of(key, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  });
  if (!plain) return fmt::format("{}[\"{}\"]", path, shown(key));
  return path.empty() ? key : path + "." + key;
}

std::string place_of(const JsonSource& source) {
  return source.line == 0 ? source.name : fmt::format("{}:{}", source.name, source.line);
}

std::string with_remedy(const std::string& complaint, const JsonSource& source) {
  return source.remedy.empty() ? complaint : complaint + "; " + source.remedy;
}

/// The text before byte `end`, counted in lines and columns from 1.
std::string place_at(std::string_view text, std::size_t end, const JsonSource& source) {
  const std::string_view before = text.substr(0, end);
  const auto lines = static_cast<std::uint64_t>(std::ranges::count(before, '\n'));
  const std::size_t column = end - (lines == 0 ? 0 : before.rfind('\n') + 1) + 1;
  return fmt::format("{}:{}:{}", source.name, std::max<std::uint64_t>(source.line, 1) + lines, column);
}

/// Refuses what a text that this program wrote never is: too deep, or an object that names a key twice.
class Sense {
 public:
  explicit Sense(const JsonSource& source) : source_(source) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    if (depth > kDeepest) fail(fmt::format("is nested deeper than {}", kDeepest));
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.back().insert(value.get<std::string>()).second)
      fail(fmt::format("an object has the key \"{}\" twice, expected it once",
                       shown(value.get_ref<const std::string&>())));
    return true;
  }

 private:
  [[noreturn]] void fail(const std::string& complaint) const {
    throw ConfigError(with_remedy(fmt::format("{}: {}", place_of(source_), complaint), source_));
  }

  const JsonSource& source_;
  std::vector<std::set<std::string>> keys_;  ///< Of the objects that are open.
};

}  // namespace

struct JsonValue::Document {
  Json json;
  JsonSource source;
};

std::string json_complaint(std::string_view text, const JsonSource& source, const std::exception& error) {
  std::string_view what = error.what();
  if (what.starts_with('[')) what.remove_prefix(std::min(what.find("] "), what.size() - 2) + 2);
  std::string place = place_of(source);
  if (const auto* syntax = dynamic_cast<const nlohmann::json::parse_error*>(&error)) {
    place = place_at(text, std::min(std::max<std::size_t>(syntax->byte, 1) - 1, text.size()), source);
    if (what.starts_with("parse error")) what.remove_prefix(std::min(what.find(": "), what.size() - 2) + 2);
  }
  // "; last read: '...'" holds as much of the text as its last word is long.
  const std::string_view reason = what.substr(0, what.find("; last read"));
  const std::string complaint = text.empty() ? fmt::format("{}: is empty, expected JSON", place_of(source))
                                             : fmt::format("{}: not JSON: {}", place, reason);
  return with_remedy(complaint, source);
}

JsonValue JsonValue::parse(std::string_view text, JsonSource source) {
  const auto document = std::make_shared<Document>();
  document->source = std::move(source);
  try {
    document->json = Json::parse(text.begin(), text.end(), Sense(document->source));
  } catch (const Json::exception& error) {
    throw ConfigError(json_complaint(text, document->source, error));
  }
  return {document, &document->json, ""};
}

JsonValue JsonValue::read(const std::filesystem::path& file, std::string remedy) {
  return parse(read_whole_file(file), {file.string(), 0, std::move(remedy)});
}

template <class Value>
Value JsonValue::converted(const Json& json, const std::string& key) const {
  Value value{};
  if (const std::optional<Mismatch> wrong = convert(json, value))
    fail_at((key.empty() ? path_ : extended(path_, key)) + wrong->path,
            fmt::format("is {}, expected {}", found_in(*wrong->found), wrong->expected));
  return value;
}

template <class Value>
Value JsonValue::plain() const {
  return converted<Value>(*value_, "");
}

template <class Value>
Value JsonValue::plain(const std::string& key) const {
  const Json* member = find(key);
  if (member == nullptr) fail_at(extended(path_, key), fmt::format("is missing, expected {}", expected_of<Value>()));
  return converted<Value>(*member, key);
}

bool JsonValue::is_null() const {
  return value_->is_null();
}

bool JsonValue::is_null(const std::string& key) const {
  return find(key)->is_null();
}

bool JsonValue::has(const std::string& key) const {
  return find(key) != nullptr;
}

JsonValue JsonValue::at(const std::string& key) const {
  const Json* member = find(key);
  if (member == nullptr) fail_at(extended(path_, key), "is missing");
  return {document_, member, extended(path_, key)};
}

std::vector<JsonValue> JsonValue::elements() const {
  if (!value_->is_array()) fail(fmt::format("is {}, expected a list", found_in(*value_)));
  std::vector<JsonValue> elements;
  elements.reserve(value_->size());
  for (const Json& element : *value_)
    elements.push_back({document_, &element, fmt::format("{}[{}]", path_, elements.size())});
  return elements;
}

std::vector<std::pair<std::string, JsonValue>> JsonValue::members() const {
  if (!value_->is_object()) fail(fmt::format("is {}, expected an object", found_in(*value_)));
  std::vector<std::pair<std::string, JsonValue>> members;
  members.reserve(value_->size());
  for (const auto& [key, member] : value_->items())
    members.emplace_back(key, JsonValue(document_, &member, extended(path_, key)));
  return members;
}

std::string JsonValue::place() const {
  return path_.empty() ? place_of(document_->source) : fmt::format("{}: {}", place_of(document_->source), path_);
}

std::string JsonValue::place(const std::string& key) const {
  return fmt::format("{}: {}", place_of(document_->source), extended(path_, key));
}

const Json* JsonValue::find(const std::string& key) const {
  if (!value_->is_object()) fail(fmt::format("is {}, expected an object", found_in(*value_)));
  const auto found = value_->find(key);
  return found == value_->end() ? nullptr : &*found;
}

void JsonValue::fail(const std::string& complaint) const {
  fail_at(path_, complaint);
}

void JsonValue::fail_at(const std::string& path, const std::string& complaint) const {
  const JsonSource& source = document_->source;
  throw ConfigError(
      with_remedy(fmt::format("{}: {} {}", place_of(source), path.empty() ? "the JSON" : path, complaint), source));
}

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): the types that JSON is read as
#define MILLRACE_JSON_TYPE(TYPE)                \
  template TYPE JsonValue::plain<TYPE>() const; \
  template TYPE JsonValue::plain<TYPE>(const std::string&) const
MILLRACE_JSON_TYPE(bool);
MILLRACE_JSON_TYPE(int);
MILLRACE_JSON_TYPE(std::int64_t);
MILLRACE_JSON_TYPE(std::uint32_t);
MILLRACE_JSON_TYPE(std::uint64_t);
MILLRACE_JSON_TYPE(double);
MILLRACE_JSON_TYPE(std::string);
MILLRACE_JSON_TYPE(std::vector<std::int32_t>);
MILLRACE_JSON_TYPE(std::vector<std::uint32_t>);
MILLRACE_JSON_TYPE(std::vector<std::uint64_t>);
MILLRACE_JSON_TYPE(std::vector<std::string>);
#undef MILLRACE_JSON_TYPE

}  // namespace millrace
