#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

/// All bytes of a file, or of a pipe until its writers have closed it. Throws std::system_error with the path if it
/// cannot be read to its end: a read error never looks like a shorter file.
std::string read_whole_file(const std::filesystem::path& path);

/// Calls `use` with every line of a log and its number from 1. A last line without a newline is left out: it is being
/// written, or writing was cut short. A log that does not exist has no lines. Throws std::system_error likewise.
void for_each_line(const std::filesystem::path& log, const std::function<void(std::string& line, std::uint64_t)>& use);

}  // namespace millrace
