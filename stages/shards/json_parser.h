#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

namespace millrace {

/// Parses JSON as in RFC 8259, without two limits of simdjson: numbers may have any length and magnitude, and `[]` and
/// `{}` count toward the depth like any array and object. Reuses its memory. One object, one thread.
class JsonParser {
 public:
  static constexpr std::size_t kDeepestNesting = 1024;

  /// REQUIRES: simdjson::SIMDJSON_PADDING readable bytes after `text`. `root` is valid until the next call, and while
  /// `text` exists. DEPTH_ERROR: nested deeper than kDeepestNesting.
  simdjson::error_code parse(std::string_view text, simdjson::dom::element& root);

  /// A number, boolean or null of the text parsed last: as simdjson writes it, or the original text of a number that
  /// fits no type.
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
