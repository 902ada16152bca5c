#pragma once

#include <filesystem>
#include <string_view>
#include <system_error>

namespace millrace {

/// Throws std::system_error naming the path and what failed; for a full disk also what to do.
[[noreturn]] void disk_failure(const std::filesystem::path& path, int error, const char* what);

/// The file or folder that `path` leads to, links followed; it need not exist. Throws as disk_failure.
std::filesystem::path through_links(const std::filesystem::path& path);

/// Writes all bytes to a descriptor; `path` is for the error message. Throws as disk_failure.
void write_all(int descriptor, const std::filesystem::path& path, std::string_view bytes);

/// True if the error says that a path is wrong (missing, a folder, not permitted), which the user can fix. False if the
/// disk fails.
bool is_wrong_path(const std::error_code& error);

/// True if the error says that no file can exist at a path: a name too long, a cycle of links.
bool is_impossible_path(const std::error_code& error);

/// fsync, retried if a signal interrupts it. False with errno if it fails.
bool synced(int descriptor);

/// Flushes a file, or a folder's list of names, to disk (fsync). Throws as disk_failure.
void sync_to_disk(const std::filesystem::path& path);

/// Locks a folder until the returned descriptor is closed. Throws ConfigError if another process holds it.
int lock_folder(const std::filesystem::path& folder);

}  // namespace millrace
