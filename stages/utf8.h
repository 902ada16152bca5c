#pragma once

#include <string_view>

namespace millrace {

/// Bytes and code points below are ASCII characters.
inline constexpr unsigned kAscii = 0x80;

/// Whether the bytes are UTF-8: no surrogates, nothing overlong, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace millrace
