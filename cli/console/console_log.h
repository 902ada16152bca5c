#pragma once

#include <filesystem>
#include <string>

namespace millrace {

/// Sends the log to standard error and appends it to `file`, with control characters escaped. A write error of one is
/// reported once in the other, and the work goes on. Throws std::system_error if the file cannot be opened.
void start_log(const std::filesystem::path& file);

/// Likewise for one of several processes: everything goes to `file`, warnings and errors also to standard error, behind
/// `name`.
void start_log_of_rank(const std::filesystem::path& file, const std::string& name);

}  // namespace millrace
