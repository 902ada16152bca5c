#include "stages/parquet/row_condition.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "stages/parquet/duckdb_session.h"
#include "stages/parquet/pure_functions.h"

namespace millrace {
namespace {

namespace dom = simdjson::dom;

/// DuckDB's syntax tree of an expression: a node has a class, a type and children.
const std::set<std::string_view> kClasses = {"BETWEEN",    "CASE",       "CAST",     "COLLATE",
                                             "COLUMN_REF", "COMPARISON", "CONSTANT", "CONJUNCTION",
                                             "FUNCTION",   "LAMBDA",     "OPERATOR"};
const std::set<std::string_view> kRefusedOperators = {"GROUPING_FUNCTION", "OPERATOR_UNPACK"};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kBlanks) + 1 - first);
}

[[noreturn]] void refuse(std::size_t at, const std::string& complaint) {
  throw ConfigError(fmt::format("byte {}: {}", at + 1, complaint));
}

std::string_view text_of(const dom::element& element, const char* key) {
  std::string_view text;
  return element[key].get_string().get(text) == simdjson::SUCCESS ? text : std::string_view();
}

/// The parts of a statement beside the expression must be empty.
bool is_empty(const dom::element& value) {
  if (value.is_null()) return true;
  if (value.is_array()) return dom::array(value).size() == 0;
  if (value.is_bool()) return !bool(value);
  return value.is_string() && std::string_view(value).empty();
}

/// The first of a reference's names is the column; the others are a path inside it.
std::string first_name(const dom::element& column) {
  std::string_view name;
  if (column["column_names"].at(0).get_string().get(name) != simdjson::SUCCESS) return "";
  return std::string(name);
}

class Parser {
 public:
  Parser(const std::string& text, DuckdbSession& session) : text_(text), session_(session) {}

  /// Calls `found(name, begin, end)` for every mention of a column.
  template <class Found>
  void parse(const Found& found) {
    // Parsing the text alone shows that nothing follows the expression; parsing it in parentheses, that it is one
    // expression.
    dom::parser alone, wrapped;
    expression_in(alone, "SELECT ", "\n");
    prefix_ = std::string_view("SELECT (").size();
    walk(expression_in(wrapped, "SELECT (", "\n)"), {}, found);
  }

 private:
  dom::element expression_in(dom::parser& parser, const std::string& before, const std::string& behind) {
    DuckdbRows rows = session_.query("SELECT json_serialize_sql(" + sql_string(before + text_ + behind) + ")");
    rows.next_chunk();
    json_ = rows.text(0, 0);
    dom::element root;
    if (parser.parse(json_).get(root) != simdjson::SUCCESS) refuse(0, "is nested too deep");
    if (bool failed = false; root["error"].get_bool().get(failed) == simdjson::SUCCESS && failed) {
      std::size_t at = 0;
      for (const char c : text_of(root, "position")) at = at * 10 + static_cast<std::size_t>(c - '0');
      const std::size_t within = at > before.size() ? std::min(at - before.size(), text_.size()) : 0;
      refuse(within, fmt::format("{}; expected one expression", text_of(root, "error_message")));
    }
    const dom::array statements = root["statements"];
    dom::array selected;
    if (statements.size() != 1 ||
        statements.at(0)["node"]["select_list"].get_array().get(selected) != simdjson::SUCCESS)
      refuse(0, "is no expression, or several statements; expected one expression");
    const dom::object node = statements.at(0)["node"];
    for (const auto& [key, value] : node) {
      const bool is_plain = key == "type" || key == "select_list" || key == "aggregate_handling" || key == "cte_map" ||
                            (key == "from_table" && text_of(value, "type") == "EMPTY") || is_empty(value);
      if (!is_plain) refuse(0, fmt::format("goes on as a query ({}); expected one expression", lower(key)));
    }
    if (selected.size() != 1) refuse(0, fmt::format("is {} expressions; expected one", selected.size()));
    if (!text_of(selected.at(0), "alias").empty())
      refuse(0, "gives its expression a name; expected a plain expression");
    return selected.at(0);
  }

  std::size_t place_of(const dom::element& element) const {
    std::uint64_t at = 0;
    if (element["query_location"].get_uint64().get(at) != simdjson::SUCCESS || at < prefix_) return 0;
    return std::min<std::size_t>(at - prefix_, text_.size());
  }

  template <class Found>
  void walk(const dom::element& element, const std::set<std::string>& parameters, const Found& found) {
    if (dom::array array; element.get_array().get(array) == simdjson::SUCCESS) {
      for (const dom::element inner : array) walk(inner, parameters, found);
      return;
    }
    dom::object object;
    if (element.get_object().get(object) != simdjson::SUCCESS) return;
    const std::string_view kind = text_of(element, "class");
    if (!kind.empty()) check(element, kind);
    if (kind == "CAST" && is_time(element["cast_type"])) refuse_clock(element["child"]);
    if (kind == "CONSTANT") return;
    if (kind == "COLUMN_REF") return mention(element, parameters, found);
    const bool has_lambda = kind == "FUNCTION" && takes_lambda(lower(text_of(element, "function_name")));
    for (const auto& [key, value] : object) {
      if (has_lambda && key == "children") {
        walk_arguments(value, parameters, found);
      } else if (key != "cast_type") {
        walk(value, parameters, found);
      }
    }
  }

  /// The arguments of a function that takes a lambda: inside the lambda its parameter names are not columns.
  template <class Found>
  void walk_arguments(const dom::array& arguments, const std::set<std::string>& parameters, const Found& found) {
    for (const dom::element argument : arguments) {
      if (text_of(argument, "class") != "LAMBDA") {
        walk(argument, parameters, found);
        continue;
      }
      std::set<std::string> inner = parameters;
      add_names(argument["lhs"], inner);
      walk(argument["expr"], inner, found);
    }
  }

  static void add_names(const dom::element& element, std::set<std::string>& names) {
    dom::object object;
    dom::array array;
    if (text_of(element, "class") == "COLUMN_REF") {
      names.insert(lower(first_name(element)));
    } else if (element.get_array().get(array) == simdjson::SUCCESS) {
      for (const dom::element inner : array) add_names(inner, names);
    } else if (element.get_object().get(object) == simdjson::SUCCESS) {
      for (const auto& [key, value] : object) add_names(value, names);
    }
  }

  void check(const dom::element& element, std::string_view kind) const {
    if (kind == "SUBQUERY") refuse(place_of(element), "a sub-query; expected an expression over the row's own columns");
    if (kind == "WINDOW") refuse(place_of(element), "a window over other rows; expected the row's own columns");
    if (kind == "PARAMETER") refuse(place_of(element), "a parameter, which nobody gives a value");
    if (!kClasses.contains(kind) || kRefusedOperators.contains(text_of(element, "type")))
      refuse(place_of(element),
             fmt::format("{}: not possible in a condition on a row", lower(text_of(element, "type"))));
    if (kind != "FUNCTION") return;
    const std::string name = lower(text_of(element, "function_name"));
    if (!is_pure_function(name))
      refuse(place_of(element), fmt::format("{}() is none of the functions that depend on the row alone and give the "
                                            "same each time; docs/shards.md has the list",
                                            name));
  }

  /// True for dates and times, also within lists and structs.
  static bool is_time(const dom::element& type) {
    const std::string text = simdjson::minify(type);
    return text.find("DATE") != std::string::npos || text.find("TIME") != std::string::npos;
  }

  /// Words that mean a time when cast to one (the current date, say).
  void refuse_clock(const dom::element& element) const {
    static const std::set<std::string_view> kClock = {"now", "today", "tomorrow", "yesterday"};
    if (dom::array array; element.get_array().get(array) == simdjson::SUCCESS) {
      for (const dom::element inner : array) refuse_clock(inner);
      return;
    }
    const std::string_view kind = text_of(element, "class");
    if (kind == "CAST") return refuse_clock(element["child"]);
    const std::string_view function = text_of(element, "function_name");
    if (function == "list_value" || function == "struct_pack" || function == "row")
      return refuse_clock(element["children"]);
    std::string_view constant;
    if (kind != "CONSTANT" || element["value"]["value"].get_string().get(constant) != simdjson::SUCCESS) return;
    const std::string word = trimmed(lower(constant));
    if (kClock.contains(word))
      refuse(place_of(element), fmt::format("'{}' as a time would be that of the moment, not of the row; write the "
                                            "date or time meant",
                                            constant));
  }

  template <class Found>
  void mention(const dom::element& element, const std::set<std::string>& parameters, const Found& found) {
    const std::string name = first_name(element);
    if (parameters.contains(lower(name))) return;
    const std::size_t begin = place_of(element);
    const bool is_quoted = begin < text_.size() && text_[begin] == '"';
    const std::size_t end = end_of_name(begin);
    if (end == begin) refuse(begin, fmt::format("a column \"{}\" that is not written there", name));
    if (!is_quoted && is_value_function(name))
      refuse(begin,
             fmt::format("{} is a value of the moment, not of the row; a column of that name is written \"{}\" in "
                         "double quotes",
                         name, name));
    found(name, begin, end);
  }

  std::size_t end_of_name(std::size_t at) const {
    const auto is_name = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '$' || c >= 0x80; };
    if (at < text_.size() && text_[at] == '"') {
      for (++at; at < text_.size(); ++at) {
        if (text_[at] != '"') continue;
        if (at + 1 == text_.size() || text_[at + 1] != '"') return at + 1;
        ++at;
      }
    }
    while (at < text_.size() && is_name(static_cast<unsigned char>(text_[at]))) ++at;
    return at;
  }

  /// current_date, user and their like need no parentheses: DuckDB knows them without any table.
  bool is_value_function(const std::string& name) {
    try {
      session_.query("SELECT " + sql_name(name));
      return true;
    } catch (const DuckdbError& error) {
      if (error.out_of_memory || error.fatal) throw;
      return false;
    }
  }

  const std::string& text_;
  DuckdbSession& session_;
  std::size_t prefix_ = 0;
  std::string json_;
};

}  // namespace

RowCondition::RowCondition(std::string text) : text_(std::move(text)) {
  if (const std::size_t at = text_.find('\0'); at != std::string::npos)
    refuse(at, "a zero byte; for such a character in a text write chr(0)");
  DuckdbSession session;
  Parser(text_, session).parse([this](const std::string& name, std::size_t begin, std::size_t end) {
    mentions_.push_back({name, begin, end});
  });
  std::ranges::sort(mentions_, {}, &Mention::begin);
  const auto same = [](const Mention& a, const Mention& b) { return a.begin == b.begin; };
  mentions_.erase(std::unique(mentions_.begin(), mentions_.end(), same), mentions_.end());
}

std::vector<std::string> RowCondition::columns() const {
  std::set<std::string> names;
  for (const Mention& mention : mentions_) names.insert(mention.column);
  return {names.begin(), names.end()};
}

std::string RowCondition::with(const std::function<std::string(const std::string& column)>& sql_of) const {
  std::string sql;
  std::size_t at = 0;
  for (const Mention& mention : mentions_) {
    sql += text_.substr(at, mention.begin - at) + sql_of(mention.column);
    at = mention.end;
  }
  return sql + text_.substr(at);
}

}  // namespace millrace
