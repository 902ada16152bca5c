#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

namespace millrace {

/// Parses JSON as RFC 8259 says, where simdjson alone has limits of its own: a number may have any length and any
/// size, and `[]` and `{}` count toward the depth as any array and object do. Keeps its memory from call to call. One
/// object, one thread.
class JsonParser {
 public:
  static constexpr std::size_t kDeepestNesting = 1024;

  /// REQUIRES: simdjson::SIMDJSON_PADDING readable bytes behind `text`. `root` holds until the next call, and while
  /// `text` does. DEPTH_ERROR: nested deeper than kDeepestNesting.
  simdjson::error_code parse(std::string_view text, simdjson::dom::element& root);

  /// A number, boolean or null of the text parsed last: as simdjson writes it, or as it stands there if it is a number
  /// that fits no type.
  std::string text_of(const simdjson::dom::element& scalar) const;

 private:
  simdjson::error_code parse_to_full_depth(std::string_view text, simdjson::dom::element& root);
  simdjson::error_code parse_to_depth(std::size_t depth, std::string_view text, simdjson::dom::element& root);
  bool number_the_numbers(std::string_view text);

  simdjson::dom::parser parser_;
  std::string numbered_;                   // The text with the index in numbers_ in each number's place.
  std::vector<std::string_view> numbers_;  // Empty unless that is what was parsed.
};

}  // namespace millrace
