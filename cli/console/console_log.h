#pragma once

#include <filesystem>

namespace millrace {

/// Sends the log to standard error and appends it to `file`, with control characters escaped. A write error of one is
/// reported once in the other, and the work goes on. Throws std::system_error if the file cannot be opened.
void start_log(const std::filesystem::path& file);

}  // namespace millrace
