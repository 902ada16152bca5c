#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

/// This program writes no longer lines to a log.
inline constexpr std::size_t kLongestLogLine = std::size_t{64} << 20;

/// Rewrites a file with only the lines for which `keep` returns true, atomically, in memory that does not grow with the
/// file. An unfinished last line is removed, and so are lines longer than kLongestLogLine. Does nothing if there is no
/// file. Throws as disk_failure (stages/io/disk.h).
void keep_lines(const std::filesystem::path& path, const std::function<bool(const std::string& line)>& keep);

}  // namespace millrace
