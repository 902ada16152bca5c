#pragma once

#include <filesystem>

namespace millrace {

/// Sends the log to standard error and to the end of `file`, control characters shown. What one of the two does not
/// take is told once in the other, and the work goes on. Throws std::system_error if the file cannot be opened.
void start_log(const std::filesystem::path& file);

}  // namespace millrace
