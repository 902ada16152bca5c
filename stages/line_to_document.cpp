#include "stages/line_to_document.h"

#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

namespace millrace {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kDeepestNesting = 1024;

const char* type_name(dom::element_type type) {
  switch (type) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "a boolean";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

/// simdjson says "string error" of a lone surrogate as of any wrong escape; the two are different faults to us.
bool has_lone_surrogate(std::string_view line) {
  const auto escape_at = [line](std::size_t at) -> std::optional<unsigned> {
    if (line.substr(at, 2) != "\\u" || at + 6 > line.size()) return std::nullopt;
    unsigned code = 0;
    const auto [end, error] = std::from_chars(line.data() + at + 2, line.data() + at + 6, code, 16);
    return error == std::errc() && end == line.data() + at + 6 ? std::optional(code) : std::nullopt;
  };
  for (std::size_t at = line.find('\\'); at != std::string_view::npos; at = line.find('\\', at)) {
    const std::optional<unsigned> code = escape_at(at);
    if (!code) {
      at += 2;
      continue;
    }
    at += 6;
    if (*code < 0xD800 || *code > 0xDFFF) continue;
    const std::optional<unsigned> low = escape_at(at);
    if (*code > 0xDBFF || !low || *low < 0xDC00 || *low > 0xDFFF) return true;
    at += 6;
  }
  return false;
}

/// The value of the last field called `key`.
std::optional<dom::element> last_field(const dom::object& object, std::string_view key) {
  std::optional<dom::element> found;
  for (const auto field : object) {
    if (field.key == key) found = field.value;
  }
  return found;
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> keys;
  std::size_t begin = 0;
  for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', begin)) {
    keys.push_back(path.substr(begin, dot - begin));
    begin = dot + 1;
  }
  keys.push_back(path.substr(begin));
  return keys;
}

}  // namespace

struct LineToDocument::Scratch::Parser {
  dom::parser parser;

  simdjson::error_code parse(std::string_view line, dom::element& root) {
    // simdjson counts the level below the deepest one it allows.
    if (parser.capacity() < line.size() || parser.max_depth() <= kDeepestNesting) {
      const std::size_t capacity = std::max(line.size(), 2 * parser.capacity());
      if (const auto error = parser.allocate(capacity, kDeepestNesting + 1)) return error;
    }
    return parser.parse(line.data(), line.size(), false).get(root);
  }
};

LineToDocument::Scratch::Scratch() : parser_(std::make_unique<Parser>()) {}
LineToDocument::Scratch::~Scratch() = default;

LineToDocument::LineToDocument(const std::string& text_field)
    : text_field_(text_field), keys_(split_path(text_field)) {}

Record LineToDocument::operator()(std::string_view line, Where where, Scratch& scratch) const {
  const auto reject = [&](RejectCause cause, std::string reason) {
    return Reject{std::move(where), cause, std::move(reason), 0};
  };
  dom::element value;
  if (const auto error = scratch.parser_->parse(line, value)) {
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    if (error == simdjson::UTF8_ERROR) return reject(RejectCause::bad_utf8, "the line is not valid UTF-8");
    if (error == simdjson::STRING_ERROR && has_lone_surrogate(line)) {
      return reject(RejectCause::bad_utf8, "a \\u escape is half of a surrogate pair");
    }
    if (error == simdjson::DEPTH_ERROR) {
      return reject(RejectCause::bad_json, fmt::format("nested deeper than {} levels", kDeepestNesting));
    }
    return reject(RejectCause::bad_json, fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  if (!value.is_object()) {
    return reject(RejectCause::not_object, fmt::format("the line is {}, expected an object", type_name(value.type())));
  }
  for (const std::string& key : keys_) {
    dom::object object;
    const bool is_object = value.get_object().get(object) == simdjson::SUCCESS;
    const std::optional<dom::element> field = is_object ? last_field(object, key) : std::nullopt;
    if (!field) return reject(RejectCause::missing_field, fmt::format("there is no field \"{}\"", text_field_));
    value = *field;
  }
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) {
    return reject(RejectCause::wrong_type,
                  fmt::format("field \"{}\" is {}, expected a string", text_field_, type_name(value.type())));
  }
  if (text.empty()) return reject(RejectCause::empty_text, fmt::format("field \"{}\" is empty", text_field_));
  return Document{std::move(where), std::string(text)};
}

std::vector<std::string> keys_of(std::string_view line) {
  dom::parser parser;
  dom::element root;
  dom::object object;
  if (parser.parse(line.data(), line.size(), false).get(root) != simdjson::SUCCESS) return {};
  if (root.get_object().get(object) != simdjson::SUCCESS) return {};
  std::vector<std::string> keys;
  for (const auto field : object) keys.emplace_back(field.key);
  return keys;
}

}  // namespace millrace
