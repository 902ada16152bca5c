#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace millrace {

/// An append-only log: each text is written at once, so that a killed process loses at most part of the last one. A
/// text that cannot be written is kept and tried again with the next one. A failing log never stops the program: only
/// the first failure is reported.
class AppendFile {
 public:
  /// Called with a sentence for the first write or sync that fails; from any thread.
  using Tell = std::function<void(const std::string&)>;
  /// Most bytes kept while writing fails. Texts beyond are lost.
  static constexpr std::size_t kMostWaiting = std::size_t{1} << 26;

  /// Opens the file, which need not exist. Throws std::system_error with the path.
  AppendFile(std::filesystem::path path, Tell tell);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view text);
  /// Tries again to write what failed.
  void retry() { append({}); }
  /// Flushes what was written to disk (fsync). Any thread.
  void sync() const;

 private:
  /// False, with errno, if writing fails.
  bool write_waiting();
  void tell_once(const char* what, int error) const;

  std::filesystem::path path_;
  Tell tell_;
  mutable std::atomic<bool> told_ = false;
  int descriptor_ = -1;
  std::string waiting_;  ///< Not written yet.
};

}  // namespace millrace
