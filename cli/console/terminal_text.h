#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// Text with every control character but tab and line end written as \u001b is, so that a terminal shows it instead of
/// obeying it. JSON stays the same JSON: only in its strings can such a character stand.
std::string shown(std::string_view text);

/// As shown(), for names within a line: tabs and line ends are written so, too.
std::string shown_in_line(std::string_view text);

}  // namespace millrace
