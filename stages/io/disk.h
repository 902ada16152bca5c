#pragma once

#include <filesystem>
#include <string_view>
#include <system_error>

namespace millrace {

/// Throws std::system_error: the path, what could not be done, and of a full disk what to do about it.
[[noreturn]] void disk_failure(const std::filesystem::path& path, int error, const char* what);

/// The file or folder that `path` leads to, links followed; nothing need be there. Throws as disk_failure.
std::filesystem::path through_links(const std::filesystem::path& path);

/// Writes all bytes to a descriptor; `path` is for the complaint. Throws as disk_failure.
void write_all(int descriptor, const std::filesystem::path& path, std::string_view bytes);

/// True if the error says that a path is wrong (nothing there, a folder, not permitted): whoever named it can mend it.
/// False if the disk fails.
bool is_wrong_path(const std::error_code& error);

/// True if the error says that nothing can ever stand at a path: a name too long, links in a circle.
bool is_impossible_path(const std::error_code& error);

/// fsync, again after every signal that interrupts it. False with errno if it fails.
bool synced(int descriptor);

/// Makes a file, or the names given in a folder, last. Throws as disk_failure.
void sync_to_disk(const std::filesystem::path& path);

/// A lock on a folder, for as long as the descriptor that is returned is open. Throws ConfigError if another process
/// holds it.
int lock_folder(const std::filesystem::path& folder);

}  // namespace millrace
