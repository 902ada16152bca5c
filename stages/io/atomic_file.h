#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace millrace {

/// A file that appears whole or not at all: written under a temporary name in the same folder, synced, renamed. If the
/// path is a link, its target is replaced and the link stays. A replaced file passes on its permissions. A folder,
/// device, pipe or socket is refused. Every function throws as disk_failure (stages/io/disk.h).
class AtomicFile {
 public:
  /// Makes FOLDER/.millrace-PID-N.tmp, a name that no other file has. The folder must exist.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Removes the temporary file unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes) { write({static_cast<const char*>(data), bytes}); }
  void write(std::string_view text);
  /// Syncs the file, renames it to its final name (replacing an older file) and syncs the folder. Call once, last.
  void commit();

 private:
  void give_up();

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// True for AtomicFile's temporary names.
bool is_temporary_name(std::string_view name);

void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace millrace
