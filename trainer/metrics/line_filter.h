#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

/// Longer lines of a log are none of this program's.
inline constexpr std::size_t kLongestLogLine = std::size_t{64} << 20;

/// Rewrites a file of lines with those only that `keep` wants, at once or not at all, in memory that does not grow with
/// the file. A last line without its end goes, and so does one longer than kLongestLogLine. No file: nothing is done.
/// Throws as disk_failure (stages/io/disk.h).
void keep_lines(const std::filesystem::path& path, const std::function<bool(const std::string& line)>& keep);

}  // namespace millrace
