#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace millrace {

/// How every command treats the path of an --out. A link is followed: what it leads to is written, and it stays. A file
/// appears whole or not at all. Into a device or a pipe bytes are written as they come, where a command can; none is
/// ever replaced by a file.

/// Throws ConfigError if nothing can have this name, for one because it is too long: before any work.
void require_name(const std::filesystem::path& out);

/// Makes a folder with its parents. Throws ConfigError with the path and the system's reason.
void make_folder(const std::filesystem::path& folder);

/// What a command can write.
enum class OutputKind { file, file_or_stream };

/// Throws ConfigError if `out` could not be written, before hours are spent on what should stand in it.
void require_writable(const std::filesystem::path& out, OutputKind kind);

/// Writes all of an output. Throws ConfigError as require_writable does; std::system_error with the path; Interrupted
/// if a pipe that nobody reads was waited for until `interrupted`.
void write_output(const std::filesystem::path& out, OutputKind kind, std::string_view bytes,
                  const std::function<bool()>& interrupted);

/// A folder that becomes visible under its own name only when it is complete. Until publish() its files stand in
/// .NAME.unfinished beside it, which goes with the object.
class AtomicFolder {
 public:
  /// Throws ConfigError if the folder cannot be made, or another process is making it.
  /// Where a process was killed in publish(), so that nothing has the name, what had it before is given it back.
  explicit AtomicFolder(const std::filesystem::path& target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return partial_; }
  /// Replaces what stands under the folder's name, and takes over its permissions.
  void publish();

 private:
  std::filesystem::path replaced() const;  ///< Where publish() keeps what it replaces while it does so.

  std::filesystem::path target_;
  std::filesystem::path partial_;
  int lock_ = -1;
};

}  // namespace millrace
