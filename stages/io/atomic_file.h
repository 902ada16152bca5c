#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace millrace {

/// A file that appears whole or not at all: written under a temporary name beside its place, synced, renamed. A link
/// stays: what it leads to is written. A file that is replaced leaves its permissions to the new one. A folder, device,
/// pipe or socket is refused: no file is put in its place. Every function throws as disk_failure (stages/io/disk.h).
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
  /// Syncs the file, gives it its name (replacing what had it) and syncs the folder. Call once, last.
  void commit();

 private:
  void give_up();

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// True for the names that AtomicFile gives while it writes.
bool is_temporary_name(std::string_view name);

void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace millrace
