#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace millrace {

/// A file that grows at its end: each text is handed to the system whole and at once, so that a killed process loses at
/// most part of the last one. What the disk does not take is kept and tried again with the next text.
class AppendFile {
 public:
  /// Opens the file, which need not exist. Throws std::system_error with the path.
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view text);
  /// Tries once more what the disk did not take. Throws std::system_error with the path if it still does not.
  void expect_written();
  /// Makes what the system has last. Throws std::system_error. Any thread.
  void sync() const;

 private:
  /// False, with errno: the disk does not take it.
  bool write_waiting();
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string waiting_;  ///< Not taken by the disk yet.
};

}  // namespace millrace
