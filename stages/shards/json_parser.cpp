#include "stages/shards/json_parser.h"

#include <algorithm>
#include <cstdint>

namespace millrace {
namespace {

namespace dom = simdjson::dom;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
bool is_number(std::string_view token) {
  std::size_t at = 0;
  const auto take = [&](std::string_view any_of) {
    const bool found = at < token.size() && any_of.find(token[at]) != std::string_view::npos;
    at += found ? 1 : 0;
    return found;
  };
  const auto take_digits = [&] {
    const std::size_t first = at;
    while (at < token.size() && is_digit(token[at])) ++at;
    return at > first;
  };
  take("-");
  if (!take("0") && !take_digits()) return false;
  if (take(".") && !take_digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!take_digits()) return false;
  }
  return at == token.size();
}

/// Behind the string that begins at text[at], or the text's end.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
  return std::min(at + 1, text.size());
}

/// Of arrays and objects, empty ones too.
std::size_t deepest_nesting(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      continue;
    }
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if ((c == ']' || c == '}') && depth > 0) --depth;
    ++at;
  }
  return deepest;
}

}  // namespace

simdjson::error_code JsonParser::parse(std::string_view text, dom::element& root) {
  numbers_.clear();
  const simdjson::error_code error = parse_to_full_depth(text, root);
  // simdjson gives the same error for a number that fits no type as for a malformed one.
  if (error != simdjson::NUMBER_ERROR || !number_the_numbers(text)) return error;
  const std::size_t length = numbered_.size();
  numbered_.append(simdjson::SIMDJSON_PADDING, ' ');
  return parse_to_full_depth(std::string_view(numbered_).substr(0, length), root);
}

std::string JsonParser::text_of(const dom::element& scalar) const {
  std::uint64_t index = 0;
  if (numbers_.empty() || scalar.get_uint64().get(index) != simdjson::SUCCESS) return simdjson::minify(scalar);
  const std::string number(numbers_.at(index));
  dom::parser parser;
  dom::element value;
  return parser.parse(number).get(value) == simdjson::SUCCESS ? simdjson::minify(value) : number;
}

/// simdjson counts the level below the deepest one it allows, but not that of an empty array or object. So a text with
/// one level less than allowed is accepted at once; for the others the depth is counted.
simdjson::error_code JsonParser::parse_to_full_depth(std::string_view text, dom::element& root) {
  const simdjson::error_code error = parse_to_depth(kDeepestNesting, text, root);
  if (error != simdjson::DEPTH_ERROR || deepest_nesting(text) > kDeepestNesting) return error;
  return parse_to_depth(kDeepestNesting + 1, text, root);
}

simdjson::error_code JsonParser::parse_to_depth(std::size_t depth, std::string_view text, dom::element& root) {
  if (parser_.capacity() < text.size() || parser_.max_depth() != depth) {
    const std::size_t capacity =
        parser_.capacity() < text.size() ? std::max(text.size(), 2 * parser_.capacity()) : parser_.capacity();
    if (const auto error = parser_.allocate(capacity, depth)) return error;
  }
  return parser_.parse(text.data(), text.size(), false).get(root);
}

/// Puts each number's index in its place, so that the rest of the text can be parsed. False if one of them is none.
bool JsonParser::number_the_numbers(std::string_view text) {
  numbered_.clear();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (text[at] == '"') {
      at = end_of_string(text, at);
    } else if (text[at] == '-' || is_digit(text[at])) {
      at = std::min(text.find_first_not_of("0123456789+-.eE", at), text.size());
      const std::string_view number = text.substr(begin, at - begin);
      if (!is_number(number)) return false;
      numbered_ += std::to_string(numbers_.size());
      numbers_.push_back(number);
      continue;
    } else {
      ++at;
    }
    numbered_.append(text.substr(begin, at - begin));
  }
  return true;
}

}  // namespace millrace
