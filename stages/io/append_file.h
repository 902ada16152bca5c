#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace millrace {

/// A log that grows at its end: each text is handed to the system whole and at once, so that a killed process loses at
/// most part of the last one. What the disk does not take is kept and tried again with the next text. No trouble of a
/// log ends the work: the first one is told, and that is all.
class AppendFile {
 public:
  /// `tell` is given a sentence when something could not be written or made last for the first time; from any thread.
  using Tell = std::function<void(const std::string&)>;
  /// Bytes that are kept for a disk that does not take them. Texts beyond are lost.
  static constexpr std::size_t kMostWaiting = std::size_t{1} << 26;

  /// Opens the file, which need not exist. Throws std::system_error with the path.
  AppendFile(std::filesystem::path path, Tell tell);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view text);
  /// Tries once more what the disk did not take.
  void retry() { append({}); }
  /// Makes what the system has last. Any thread.
  void sync() const;

 private:
  /// False, with errno: the disk does not take it.
  bool write_waiting();
  void tell_once(const char* what, int error) const;

  std::filesystem::path path_;
  Tell tell_;
  mutable std::atomic<bool> told_ = false;
  int descriptor_ = -1;
  std::string waiting_;  ///< Not taken by the disk yet.
};

}  // namespace millrace
