#include "cli/console/terminal_text.h"

#include <cstddef>

#include <fmt/format.h>

namespace millrace {
namespace {

std::size_t continuation_bytes(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return 1;
  if (lead >= 0xE0 && lead <= 0xEF) return 2;
  return lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
}

/// Bytes of the UTF-8 character that begins the text; 1 where none does.
std::size_t character_at(std::string_view text) {
  const std::size_t more = continuation_bytes(static_cast<unsigned char>(text.front()));
  if (more >= text.size()) return 1;
  for (std::size_t i = 1; i <= more; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 1;
  return more + 1;
}

/// Includes the 8-bit controls U+0080 to U+009F, as UTF-8 and as the single bytes that old terminals execute.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (character.size() == 1) return first < 0x20 || (first >= 0x7F && first <= 0x9F);
  return character.size() == 2 && first == 0xC2 && static_cast<unsigned char>(character[1]) <= 0x9F;
}

std::string escaped(std::string_view text, std::string_view plain) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view character = text.substr(0, character_at(text));
    if (is_control(character) && plain.find(character) == std::string_view::npos)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(character.back())));
    else
      out += character;
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace

std::string shown(std::string_view text) {
  return escaped(text, "\t\n");
}

std::string shown_in_line(std::string_view text) {
  return escaped(text, "");
}

}  // namespace millrace
