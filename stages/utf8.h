#pragma once

#include <string_view>

namespace millrace {

/// Whether the bytes are UTF-8: no surrogates, nothing overlong, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace millrace
