#include "pipeline/sample/roff_to_text.h"

#include <algorithm>
#include <array>
#include <vector>

namespace millrace {
namespace {

template <std::size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Requests whose arguments are text, run together or with blanks between.
constexpr std::array<std::string_view, 9> kSpaced{"B", "I", "SM", "SB", "TH", "IP", "TQ", "Nm", "Nd"};
constexpr std::array<std::string_view, 6> kJoined{"BI", "BR", "IB", "IR", "RB", "RI"};
constexpr std::array<std::string_view, 4> kHeadings{"SH", "SS", "Sh", "Ss"};
constexpr std::array<std::string_view, 8> kBreaks{"PP", "P", "LP", "sp", "Pp", "TP", "HP", "It"};
constexpr std::array<std::string_view, 4> kBlocks{"de", "de1", "ig", "am"};
// mdoc macros, callable in the middle of a line too.
constexpr std::array<std::string_view, 30> kInline{"Ar", "Fl", "Op", "Cm", "Pa", "Xr", "Ns", "No", "Em", "Sy",
                                                   "Dq", "Ql", "Va", "Vt", "Fn", "Fa", "Ev", "Li", "Dv", "Er",
                                                   "Sq", "Ic", "Tn", "Ad", "Oo", "Oc", "Nm", "Aq", "Pq", "It"};

struct Special {
  std::string_view name;
  std::string_view text;
};
constexpr std::array<Special, 24> kSpecials{
    {{"aq", "'"},       {"dq", "\""},      {"lq", "\u201c"}, {"rq", "\u201d"}, {"oq", "\u2018"}, {"cq", "\u2019"},
     {"L\"", "\u201c"}, {"R\"", "\u201d"}, {"co", "\u00a9"}, {"bu", "\u2022"}, {"em", "\u2014"}, {"en", "\u2013"},
     {"ti", "~"},       {"ha", "^"},       {"ga", "`"},      {"rs", "\\"},     {"hy", "-"},      {"mi", "-"},
     {"C+", "C++"},     {"->", "\u2192"},  {"Bu", "\u2022"}, {"at", "@"},      {"sh", "#"},      {"mu", "\u00d7"}}};

std::string_view special(std::string_view name) {
  for (const Special& entry : kSpecials) {
    if (entry.name == name) return entry.text;
  }
  return {};
}

bool is_beyond_ascii(char byte) {
  return (static_cast<unsigned char>(byte) & 0x80) != 0;
}

/// Takes a name behind \( \* \f: one character, (xx or [name].
std::string_view take_name(std::string_view line, std::size_t& at) {
  if (at >= line.size() || is_beyond_ascii(line[at])) return {};
  std::size_t length = 1;
  if (line[at] == '(') {
    ++at;
    length = 2;
  } else if (line[at] == '[') {
    ++at;
    const std::size_t end = std::min(line.find(']', at), line.size());
    const std::string_view name = line.substr(at, end - at);
    at = std::min(end + 1, line.size());
    return name;
  }
  const std::string_view name = line.substr(std::min(at, line.size()), length);
  at = std::min(at + length, line.size());
  return name;
}

void skip_quoted(std::string_view line, std::size_t& at) {
  if (at >= line.size() || is_beyond_ascii(line[at])) return;
  const std::size_t end = line.find(line[at], at + 1);
  at = end == std::string_view::npos ? line.size() : end + 1;
}

void skip_size(std::string_view line, std::size_t& at) {
  if (at < line.size() && (line[at] == '+' || line[at] == '-')) ++at;
  if (at < line.size() && (line[at] == '(' || line[at] == '[')) {
    take_name(line, at);
  } else if (at < line.size() && line[at] >= '0' && line[at] <= '9') {
    ++at;
  }
}

/// Resolves what begins with a backslash at `at` - 1.
void take_escape(std::string_view line, std::size_t& at, std::string& text) {
  if (at >= line.size()) return;
  const char kind = line[at++];
  switch (kind) {
    case '-':
      text += '-';
      break;
    case 'e':
    case '\\':
      text += '\\';
      break;
    case ' ':
    case '~':
    case '0':
    case 't':
      text += ' ';
      break;
    case '\'':
    case '`':
    case '.':
      text += kind;
      break;
    case '(':
    case '[':
      --at;
      text += special(take_name(line, at));
      break;
    case '*':
      text += special(take_name(line, at));
      break;
    case 'f':
    case 'F':
    case 'n':
    case 'm':
    case 'M':
    case 'g':
    case 'k':
      take_name(line, at);
      break;
    case 's':
      skip_size(line, at);
      break;
    case 'h':
    case 'v':
    case 'w':
    case 'l':
    case 'L':
    case 'o':
    case 'N':
    case 'X':
    case 'D':
    case 'z':
      skip_quoted(line, at);
      break;
    case '"':
    case '#':
      at = line.size();
      break;
    default:
      // \& \| \^ \% \c \/ \, \: print nothing; a character beyond ASCII is no escape.
      if (is_beyond_ascii(kind)) text += kind;
      break;
  }
}

std::string without_escapes(std::string_view line) {
  std::string text;
  for (std::size_t at = 0; at < line.size();) {
    const char c = line[at++];
    if (c == '\\') {
      take_escape(line, at, text);
    } else {
      text += c;
    }
  }
  return text;
}

std::vector<std::string> arguments_of(std::string_view rest) {
  std::vector<std::string> arguments;
  for (std::size_t at = rest.find_first_not_of(' '); at < rest.size(); at = rest.find_first_not_of(' ', at)) {
    if (rest.compare(at, 2, "\\\"") == 0) break;
    std::string argument;
    const bool quoted = rest[at] == '"';
    for (at += quoted ? 1 : 0; at < rest.size() && (quoted || rest[at] != ' '); ++at) {
      if (quoted && rest[at] == '"') {
        if (at + 1 >= rest.size() || rest[at + 1] != '"') break;
        ++at;
      }
      if (rest[at] == '\\' && at + 1 < rest.size()) argument += rest[at++];
      argument += rest[at];
    }
    at += quoted ? 1 : 0;
    arguments.push_back(without_escapes(argument));
    if (at >= rest.size()) break;
  }
  return arguments;
}

std::string joined(const std::vector<std::string>& arguments, std::string_view between) {
  std::string text;
  for (const std::string& argument : arguments) text.append(text.empty() ? "" : between).append(argument);
  return text;
}

std::string mdoc_line(std::string_view first, const std::vector<std::string>& arguments) {
  std::string text;
  std::string_view sign = first == "Fl" ? "-" : "";
  for (const std::string& argument : arguments) {
    if (among(kInline, argument)) {
      if (argument == "Fl") sign = "-";
      continue;
    }
    text.append(text.empty() ? "" : " ").append(sign).append(argument);
    sign = "";
  }
  return text;
}

}  // namespace

std::string roff_to_text(std::string_view source) {
  std::string text;
  bool in_table = false;
  bool in_block = false;
  const auto add_line = [&text](std::string_view line) { text.append(line).append("\n"); };
  const auto add_gap = [&text] {
    if (!text.empty() && !text.ends_with("\n\n")) text += '\n';
  };
  while (!source.empty()) {
    const std::size_t end = std::min(source.find('\n'), source.size());
    std::string_view line = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool request = !line.empty() && (line[0] == '.' || line[0] == '\'');
    if (!request) {
      if (in_block || in_table) continue;
      const std::string plain = without_escapes(line);
      if (plain.empty()) {
        add_gap();
      } else {
        add_line(plain);
      }
      continue;
    }
    line.remove_prefix(1);
    if (in_block) {
      in_block = line != ".";
      continue;
    }
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    const std::size_t name_end = std::min(line.find_first_of(" \t\\"), line.size());
    const std::string_view name = line.substr(0, name_end);
    const std::vector<std::string> arguments = arguments_of(line.substr(name_end));
    in_table = name == "TS" || (in_table && name != "TE");
    in_block = among(kBlocks, name);
    if (among(kHeadings, name)) {
      add_gap();
      add_line(joined(arguments, " "));
    } else if (among(kBreaks, name)) {
      add_gap();
      if (name == "It" && !arguments.empty()) add_line(mdoc_line(name, arguments));
    } else if (arguments.empty() || in_table) {
      continue;
    } else if (among(kSpaced, name)) {
      if (name == "IP") add_gap();
      add_line(joined(arguments, " "));
    } else if (among(kJoined, name)) {
      add_line(joined(arguments, ""));
    } else if (among(kInline, name)) {
      add_line(mdoc_line(name, arguments));
    }
  }
  return text;
}

}  // namespace millrace
