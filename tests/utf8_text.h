#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <rapidcheck.h>

namespace millrace {

/// Random valid UTF-8 with many characters that need escaping: quotes, backslashes, newlines, 7-bit and 8-bit controls.
inline rc::Gen<std::string> utf8_text() {
  const auto nasty = rc::gen::elementOf(
      std::vector<std::uint32_t>{'"', '\\', '\'', '\n', '\r', '\t', 0,   0x1B, 0x7F,   0x85,   0x9B,   '=',
                                 '#', '[',  ']',  '{',  '}',  ',',  '.', '$',  0x2028, 0xFEFF, 0xFFFD, 0x1F600});
  const auto any = rc::gen::suchThat(rc::gen::inRange<std::uint32_t>(0, 0x110000),
                                     [](std::uint32_t c) { return c < 0xD800 || c > 0xDFFF; });
  return rc::gen::map(rc::gen::container<std::vector<std::uint32_t>>(rc::gen::oneOf(nasty, any)),
                      [](const std::vector<std::uint32_t>& characters) {
                        std::string text;
                        for (const std::uint32_t c : characters) {
                          const auto byte = [&text](std::uint32_t value) { text += static_cast<char>(value); };
                          if (c < 0x80) {
                            byte(c);
                          } else if (c < 0x800) {
                            byte(0xC0 | c >> 6), byte(0x80 | (c & 63));
                          } else if (c < 0x10000) {
                            byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63));
                          } else {
                            byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)),
                                byte(0x80 | (c & 63));
                          }
                        }
                        return text;
                      });
}

}  // namespace millrace
