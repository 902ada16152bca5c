// LineToDocument on a line of the input: its result equals that of nlohmann_json, where the two should agree, for
// records, filters and fields; a document's text is UTF-8; and the bytes after a line have no effect.
#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "stages/shards/line_to_document.h"
#include "stages/shards/shard_to_lines.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

using Json = nlohmann::json;

/// Table 3-7 of the Unicode standard, row by row.
bool is_utf8_by_the_table(std::string_view text) {
  const auto at = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto within = [](unsigned byte, unsigned low, unsigned high) { return low <= byte && byte <= high; };
  const auto follows = [&](std::size_t i) { return within(at(i), 0x80, 0xBF); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned first = at(i), second = at(i + 1);
    if (first <= 0x7F) {
      i += 1;
    } else if (within(first, 0xC2, 0xDF) && follows(i + 1)) {
      i += 2;
    } else if (within(first, 0xE0, 0xEF) && within(second, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF) &&
               follows(i + 2)) {
      i += 3;
    } else if (within(first, 0xF0, 0xF4) && within(second, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF) &&
               follows(i + 2) && follows(i + 3)) {
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

/// True if the two parsers differ on the line by design, so that they are not compared.
bool is_comparable(std::string_view line) {
  // nlohmann_json ends at a NUL, and skips a byte order mark.
  if (line.find('\0') != std::string_view::npos || line.starts_with("\xEF")) return false;
  // It has no depth limit.
  if (std::count_if(line.begin(), line.end(), [](char c) { return c == '[' || c == '{'; }) > 1000) return false;
  // It converts integers beyond 64 bits to double, and refuses numbers beyond the range of double.
  constexpr std::size_t kLongInteger = 19;
  constexpr std::size_t kLongExponent = 3;
  const auto ends_like_an_exponent = [](std::string_view before) {
    if (before.ends_with('+') || before.ends_with('-')) before.remove_suffix(1);
    return before.ends_with('e') || before.ends_with('E');
  };
  std::size_t digits = 0;
  std::size_t too_many = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] < '0' || line[i] > '9') {
      digits = 0;
      continue;
    }
    if (digits == 0) too_many = ends_like_an_exponent(line.substr(0, i)) ? kLongExponent : kLongInteger;
    if (++digits >= too_many) return false;
  }
  return true;
}

/// The text that nlohmann_json finds; empty if there is none.
std::string text_by_nlohmann(const Json& json) {
  if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) return "";
  return json["text"].get<std::string>();
}

using Keys = std::span<const std::string>;

/// The values at a path, as ReadOptions describes them.
void add_values(const Json& json, Keys path, std::vector<std::string>& values) {
  if (json.is_array()) {
    for (const Json& element : json) add_values(element, path, values);
  } else if (json.is_object()) {
    if (!path.empty() && json.contains(path[0])) add_values(json[path[0]], path.subspan(1), values);
  } else if (path.empty() && !json.is_null()) {
    values.push_back(json.is_string() ? json.get<std::string>() : json.dump());
  }
}

std::vector<std::string> values_by_nlohmann(const Json& json, const std::vector<std::string>& path) {
  std::vector<std::string> values;
  add_values(json, path, values);
  return values;
}

/// A filter and fields; filter_holds and fields_by_nlohmann are their slow reference versions.
ReadOptions filtering_options() {
  ReadOptions options;
  options.filter.keep = {{"lang", {"en", "12", "true"}}};
  options.filter.drop = {{"meta.source", {"c4"}}};
  options.fields = {"meta.url", "lang"};
  return options;
}

bool filter_holds(const Json& json) {
  const auto any_of = [&json](const std::vector<std::string>& path, const std::vector<std::string>& wanted) {
    const std::vector<std::string> values = values_by_nlohmann(json, path);
    return std::find_first_of(values.begin(), values.end(), wanted.begin(), wanted.end()) != values.end();
  };
  return any_of({"lang"}, {"en", "12", "true"}) && !any_of({"meta", "source"}, {"c4"});
}

std::vector<std::string> fields_by_nlohmann(const Json& json) {
  std::vector<std::string> fields;
  for (const auto& path : {std::vector<std::string>{"meta", "url"}, std::vector<std::string>{"lang"}}) {
    const std::vector<std::string> values = values_by_nlohmann(json, path);
    fields.push_back(values.empty() ? "" : values.front());
  }
  return fields;
}

Record parse(const LineToDocument& to_document, std::string_view line, char behind, LineToDocument::Scratch& scratch) {
  std::vector<char> padded(line.size() + kLinePadding, behind);
  std::copy(line.begin(), line.end(), padded.begin());
  return to_document({padded.data(), line.size()}, RecordLocation{"shard", 7, 8, 9}, scratch);
}

void require_sound(const Record& record) {
  const RecordLocation& where =
      std::visit([](const auto& kind) -> const RecordLocation& { return kind.where; }, record);
  require(where.shard == "shard" && where.record == 7 && where.line == 8 && where.byte == 9,
          "a record keeps its place");
  if (const auto* document = std::get_if<Document>(&record)) {
    require(!document->text.empty(), "a document has text");
    require(is_utf8_by_the_table(document->text), "a document's text is UTF-8");
  }
  if (const auto* reject = std::get_if<Reject>(&record)) {
    require(!reject->reason.empty() && is_utf8_by_the_table(reject->reason), "a reject says why, in UTF-8");
  }
}

bool is_same(const Record& a, const Record& b) {
  if (a.index() != b.index()) return false;
  if (const auto* document = std::get_if<Document>(&a)) return document->text == std::get<Document>(b).text;
  return std::get<Reject>(a).cause == std::get<Reject>(b).cause;
}

void compare_with_nlohmann(std::string_view line, const Record& record, const Record& filtered) {
  const Json json = Json::parse(line, nullptr, false);
  const auto* reject = std::get_if<Reject>(&record);
  const bool is_json =
      reject == nullptr || (reject->cause != RejectCause::bad_json && reject->cause != RejectCause::bad_utf8);
  require(is_json == !json.is_discarded(), "JSON is what nlohmann_json takes for JSON");

  if (reject == nullptr) {
    require(std::get<Document>(record).text == text_by_nlohmann(json), "the text is what nlohmann_json reads");
  } else {
    require(text_by_nlohmann(json).empty(), "a record with a sound text is not rejected");
  }
  const bool left_out = json.is_object() && !filter_holds(json);
  require(std::holds_alternative<Filtered>(filtered) == left_out, "a filter leaves out what it names");
  if (const auto* document = std::get_if<Document>(&filtered)) {
    require(document->fields == fields_by_nlohmann(json), "a field is the first value at its path");
  }
}

void try_line(std::string_view line) {
  static const LineToDocument to_document{ReadOptions{}};
  static const LineToDocument with_filter{filtering_options()};
  LineToDocument::Scratch scratch;

  const Record record = parse(to_document, line, ' ', scratch);
  require_sound(record);
  require(!std::holds_alternative<Filtered>(record), "without a filter nothing is filtered");
  require(is_same(record, parse(to_document, line, '"', scratch)), "the bytes behind a line change nothing");
  require(is_same(record, parse(to_document, line, '\xC3', scratch)), "the bytes behind a line change nothing");

  const Record filtered = parse(with_filter, line, ' ', scratch);
  require_sound(filtered);
  const bool same = std::holds_alternative<Filtered>(filtered) || is_same(filtered, record);
  require(same, "a filter changes nothing of what it lets pass");

  if (is_comparable(line)) compare_with_nlohmann(line, record, filtered);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // A splitter returns neither newlines nor blank lines.
  const bool is_line = input.find('\n') == input.npos && input.find_first_not_of(" \t\r") != input.npos;
  if (is_line) millrace::try_line(input);
  return 0;
}
