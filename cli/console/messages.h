#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cli/console/terminal_text.h"

namespace millrace {

/// Standard error: messages, log and progress, none of which may end the work. Nothing here throws: that standard error
/// cannot be written is told once, by whoever asked for it with when_messages_fail(). Any thread.

/// The bytes as they are.
void write_message(std::string_view text) noexcept;

/// A line, control characters shown.
void say_line(std::string_view line) noexcept;

template <class... Values>
void say(fmt::format_string<Values...> format, Values&&... values) {
  say_line(fmt::format(format, std::forward<Values>(values)...));
}

/// `tell` is called with a sentence the first time that standard error cannot be written; at once if it could not be
/// before. Empty: nobody is told.
void when_messages_fail(std::function<void(const std::string&)> tell);

}  // namespace millrace
