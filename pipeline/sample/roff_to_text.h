#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// A manual page's readable text: keeps headings, paragraphs and examples; drops requests, fonts, comments and tables.
/// Understands man and mdoc macros only as far as needed for that.
std::string roff_to_text(std::string_view source);

}  // namespace millrace
