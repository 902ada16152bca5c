#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace millrace {

/// How every command treats the path of --out. A link is followed: its target is written and the link stays. A file
/// appears whole or not at all. A device or pipe is written to directly, if the command supports that, and never
/// replaced by a file.

/// Throws ConfigError if no file can have this name (too long, say). To be called before any work.
void require_name(const std::filesystem::path& out);

/// Makes a folder with its parents. Throws ConfigError with the path and the system's reason.
void make_folder(const std::filesystem::path& folder);

/// Throws ConfigError if there is something else than an empty folder. `option` stands before the name in the message.
void require_empty_folder(const std::filesystem::path& folder, std::string_view option);

/// What a command can write.
enum class OutputKind { file, file_or_stream };

/// Throws ConfigError if `out` could not be written, so that hours of work are not lost.
void require_writable(const std::filesystem::path& out, OutputKind kind);

/// Writes all of an output. Throws ConfigError as require_writable does; std::system_error with the path; Interrupted
/// if nobody reads the pipe and `interrupted` becomes true while waiting.
void write_output(const std::filesystem::path& out, OutputKind kind, std::string_view bytes,
                  const std::function<bool()>& interrupted);

/// A folder that appears under its own name only when it is complete. Until publish() its files are in .NAME.unfinished
/// beside it, which the destructor removes.
class AtomicFolder {
 public:
  /// Throws ConfigError if the folder cannot be made, or another process is making it.
  /// If a process was killed in publish() and nothing has the name, restores the folder that had it before.
  explicit AtomicFolder(const std::filesystem::path& target);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return partial_; }
  /// Renames the folder to its final name, replacing an older one and keeping that one's permissions. If it throws,
  /// what had the name before has it again.
  void publish();

 private:
  std::filesystem::path replaced() const;  ///< Where publish() keeps the old folder meanwhile.

  std::filesystem::path target_;
  std::filesystem::path partial_;
  int lock_ = -1;
};

}  // namespace millrace
