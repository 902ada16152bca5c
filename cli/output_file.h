#pragma once

#include <filesystem>
#include <string_view>

namespace millrace {

/// Makes a folder with its parents. Throws ConfigError with the path and the system's reason.
void make_folder(const std::filesystem::path& folder);

/// As write_file_atomically (stages/atomic_file.h); throws ConfigError if the file cannot be created.
void write_atomically(const std::filesystem::path& file, std::string_view bytes);

/// Throws ConfigError if `file` could not be written, before hours are spent on what should stand in it.
void require_writable(const std::filesystem::path& file);

/// A folder that becomes visible under its own name only when it is complete. Until publish() its files stand in a
/// folder beside it, which goes with the object.
class PartialFolder {
 public:
  /// Throws ConfigError if the folder cannot be made.
  explicit PartialFolder(std::filesystem::path target);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& path() const { return partial_; }
  /// Replaces what stands under the folder's name.
  void publish();

 private:
  std::filesystem::path target_;
  std::filesystem::path partial_;
};

}  // namespace millrace
