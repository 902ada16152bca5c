#include "pipeline/keys/large_integer.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <toml++/toml.h>

namespace millrace {
namespace {

/// Begins the texts that stand for integers which TOML has no room for.
constexpr std::string_view kBeyondToml = "\x01integer beyond TOML\x01";
/// Likewise as TOML writes such a text.
constexpr std::string_view kQuotedBeyondToml = "\"\\u0001integer beyond TOML\\u0001";

/// Puts a text in the place of the decimal integer that ends at `error`, if one does; false: none does.
bool set_integer_aside(std::string& text, const toml::source_position& error) {
  std::size_t line = 0;
  for (toml::source_index i = 1; i < error.line && line != std::string::npos; ++i)
    line = std::min(text.find('\n', line), text.size() - 1) + 1;
  const std::size_t end = line + error.column - 1;
  if (error.column == 0 || end > text.size()) return false;
  std::size_t begin = end;
  while (begin > line && (std::isdigit(static_cast<unsigned char>(text[begin - 1])) != 0 || text[begin - 1] == '_'))
    --begin;
  std::string digits = text.substr(begin, end - begin);
  std::erase(digits, '_');
  constexpr std::size_t kFewest = 19;  // TOML's integers end at 9,223,372,036,854,775,807.
  if (digits.size() < kFewest || (begin > line && text[begin - 1] == '-')) return false;
  text.replace(begin, end - begin, fmt::format("{}{}\"", kQuotedBeyondToml, digits));
  return true;
}

}  // namespace

std::string with_large_integers_set_aside(std::string toml) {
  for (;;) {
    try {
      static_cast<void>(toml::parse(toml));
      return toml;
    } catch (const toml::parse_error& error) {
      if (!set_integer_aside(toml, error.source().begin)) throw;
    }
  }
}

std::optional<std::string> digits_of_large_integer(std::string_view text) {
  if (!text.starts_with(kBeyondToml)) return std::nullopt;
  return std::string(text.substr(kBeyondToml.size()));
}

}  // namespace millrace
