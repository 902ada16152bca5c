#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// A manual page's readable text: headings, paragraphs and examples stay, requests, fonts, comments and tables go.
/// Knows man and mdoc macros well enough to read on; it is no typesetter.
std::string roff_to_text(std::string_view source);

}  // namespace millrace
