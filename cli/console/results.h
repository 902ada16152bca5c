#pragma once

#include <string_view>

namespace millrace {

/// Standard output: results, and nothing else. Text is held back until there is a good deal of it; main() flushes the
/// rest. What cannot be written is std::system_error, once: what is printed behind it is thrown away. One thread.
/// Control characters are shown, not obeyed by the terminal: see terminal_text.h.
void print_results(std::string_view text);

/// The bytes as they are: text that was made showable, with colours in it, or text that is data.
void print_raw_results(std::string_view text);

void flush_results();

}  // namespace millrace
