#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cli/console/terminal_text.h"

namespace millrace {

/// Standard error: messages, log and progress. Nothing here throws: a failed write must not end the work, and is
/// reported once, to the callback set by when_messages_fail(). Any thread.

/// Writes the bytes unchanged.
void write_message(std::string_view text) noexcept;

/// Writes a line, with control characters escaped.
void say_line(std::string_view line) noexcept;

template <class... Values>
void say(fmt::format_string<Values...> format, Values&&... values) {
  say_line(fmt::format(format, std::forward<Values>(values)...));
}

/// `tell` is called once with a message when standard error cannot be written; at once if that has already happened.
/// Empty: no callback.
void when_messages_fail(std::function<void(const std::string&)> tell);

}  // namespace millrace
