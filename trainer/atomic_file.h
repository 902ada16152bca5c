#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace millrace {

/// A file that appears whole or not at all: written under a temporary name beside its place, synced, renamed.
/// Every function throws std::system_error with the path when the disk fails.
class AtomicFile {
 public:
  /// Opens "PATH.PID.tmp". The folder must exist.
  explicit AtomicFile(std::filesystem::path path);
  /// Removes the temporary file unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Syncs the file, gives it its name (replacing what had it) and syncs the folder. Call once, last.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Makes names given in `folder` last. Throws std::system_error.
void sync_folder(const std::filesystem::path& folder);

}  // namespace millrace
