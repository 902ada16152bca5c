#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// Text with every control character except tab and newline escaped like \u001b, so that a terminal shows it instead of
/// executing it. JSON keeps its meaning, because such characters occur only in its strings.
std::string shown(std::string_view text);

/// As shown(), for names within a line: escapes tabs and newlines, too.
std::string shown_in_line(std::string_view text);

}  // namespace millrace
