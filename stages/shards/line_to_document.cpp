#include "stages/shards/line_to_document.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "stages/shards/json_parser.h"

namespace millrace {
namespace {

namespace dom = simdjson::dom;

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

/// Whether `test` holds for a value at `path` below `element`: a string as it is, a number or boolean as JSON writes
/// it. An array on the way stands for all its elements.
template <class Test>
bool any_value(const JsonParser& parser, const dom::element& element, const std::vector<std::string>& path,
               std::size_t depth, const Test& test) {
  dom::array array;
  if (element.get_array().get(array) == simdjson::SUCCESS) {
    for (const dom::element inner : array) {
      if (any_value(parser, inner, path, depth, test)) return true;
    }
    return false;
  }
  dom::object object;
  if (element.get_object().get(object) == simdjson::SUCCESS) {
    if (depth == path.size()) return false;
    const std::optional<dom::element> field = last_field(object, path[depth]);
    return field && any_value(parser, *field, path, depth + 1, test);
  }
  if (depth < path.size() || element.is_null()) return false;
  std::string_view text;
  if (element.get_string().get(text) == simdjson::SUCCESS) return test(text);
  return test(std::string_view(parser.text_of(element)));
}

template <class Test>
bool any_value(const JsonParser& parser, const dom::element& element,
               const std::vector<std::vector<std::string>>& paths, const Test& test) {
  return std::any_of(paths.begin(), paths.end(),
                     [&](const std::vector<std::string>& path) { return any_value(parser, element, path, 0, test); });
}

auto is_one_of(const std::vector<std::string>& values) {
  return [&values](std::string_view found) { return std::find(values.begin(), values.end(), found) != values.end(); };
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

LineToDocument::Scratch::Scratch() : parser_(std::make_unique<JsonParser>()) {}
LineToDocument::Scratch::~Scratch() = default;

LineToDocument::LineToDocument(const ReadOptions& options)
    : text_field_(options.layout.text_field), text_path_(split_path(options.layout.text_field)) {
  const auto paths_of = [&options](const std::string& field) {
    std::vector<Path> paths;
    for (const std::string& path : options.layout.paths_of(field)) paths.push_back(split_path(path));
    return paths;
  };
  for (const FieldRule& rule : options.filter.keep) rules_.push_back({paths_of(rule.field), rule.values, true});
  for (const FieldRule& rule : options.filter.drop) rules_.push_back({paths_of(rule.field), rule.values, false});
  for (const std::string& field : options.fields) fields_.push_back(paths_of(field));
}

Record LineToDocument::operator()(std::string_view line, RecordLocation where, Scratch& scratch) const {
  const auto reject = [&](RejectCause cause, std::string reason) {
    return rejected_record(std::move(where), cause, std::move(reason));
  };
  dom::element value;
  if (const auto error = scratch.parser_->parse(line, value)) {
    if (error == simdjson::MEMALLOC) throw std::bad_alloc();
    if (error == simdjson::UTF8_ERROR) return reject(RejectCause::bad_utf8, "the line is not valid UTF-8");
    if (error == simdjson::STRING_ERROR && has_lone_surrogate(line)) {
      return reject(RejectCause::bad_utf8, "a \\u escape is half of a surrogate pair");
    }
    if (error == simdjson::DEPTH_ERROR) {
      return reject(RejectCause::bad_json, fmt::format("nested deeper than {} levels", JsonParser::kDeepestNesting));
    }
    return reject(RejectCause::bad_json, fmt::format("not JSON: {}", simdjson::error_message(error)));
  }
  if (!value.is_object()) {
    return reject(RejectCause::not_object, fmt::format("the line is {}, expected an object", type_name(value.type())));
  }
  const dom::element record = value;
  for (const Rule& rule : rules_) {
    if (any_value(*scratch.parser_, record, rule.paths, is_one_of(rule.values)) != rule.keep)
      return Filtered{std::move(where)};
  }
  for (const std::string& key : text_path_) {
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
  Document document{std::move(where), std::string(text), {}};
  for (const std::vector<Path>& paths : fields_) {
    std::string& kept = document.fields.emplace_back();
    any_value(*scratch.parser_, record, paths, [&kept](std::string_view found) {
      kept = found;
      return true;
    });
  }
  return document;
}

std::vector<std::string> keys_of(std::string_view line) {
  JsonParser parser;
  dom::element root;
  dom::object object;
  if (parser.parse(line, root) != simdjson::SUCCESS) return {};
  if (root.get_object().get(object) != simdjson::SUCCESS) return {};
  std::vector<std::string> keys;
  for (const auto field : object) keys.emplace_back(field.key);
  return keys;
}

}  // namespace millrace
