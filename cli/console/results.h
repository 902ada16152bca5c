#pragma once

#include <string_view>

namespace millrace {

/// Standard output: results, and nothing else. Output is buffered; main() flushes the rest. The first write error
/// throws std::system_error; all later output is discarded. One thread. Control characters are escaped: see
/// terminal_text.h.
void print_results(std::string_view text);

/// Writes the bytes unchanged: text that is already escaped, with colours, or text that is data.
void print_raw_results(std::string_view text);

void flush_results();

}  // namespace millrace
