#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace millrace {

/// How writing token files is watched, and how often it is saved. The functions are called from any thread, each of
/// them one call at a time.
struct ExportWatch {
  /// How far the present part of the work is, in `unit`s.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t total, const char* unit)> progress =
      [](const std::string&, std::uint64_t, std::uint64_t, const char*) {};
  /// A line for the log.
  std::function<void(const std::string& line)> notice = [](const std::string&) {};
  std::function<bool()> interrupted = [] { return false; };
  std::chrono::seconds save_every{15};  ///< 0: whenever there is something to save.
};

enum class ExportEnd : std::uint8_t { complete, interrupted };

/// Tells when to save again.
class SaveClock {
 public:
  explicit SaveClock(std::chrono::seconds every) : every_(every) {}
  bool is_due() const { return std::chrono::steady_clock::now() - saved_ >= every_; }
  void saved() { saved_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::seconds every_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
};

}  // namespace millrace
