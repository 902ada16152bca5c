#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace millrace {

/// One line on stderr with progress, speed and remaining time. On a terminal it is redrawn in place; elsewhere a plain
/// line comes every ten seconds. One object, one thread.
class Progress {
 public:
  /// `total` 0: unknown. `unit` as in "1.2 M tokens".
  Progress(std::string what, std::uint64_t total, std::string unit);
  ~Progress();  ///< Ends the line.

  /// `done`: amount so far; `note` is appended to the line ("loss 5.31").
  void update(std::uint64_t done, const std::string& note = "");
  /// Draws the last state and ends the line.
  void finish();

 private:
  void draw(std::uint64_t done, const std::string& note);

  std::string what_;
  std::string unit_;
  std::uint64_t total_;
  std::uint64_t first_ = 0;
  std::uint64_t done_ = 0;
  std::string note_;
  bool terminal_;
  bool started_ = false;
  bool finished_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

/// "1.25 M", "640", "3.1 G": three significant digits with a decimal prefix.
std::string human_count(double value);
/// "1.25 GB"
std::string human_bytes(double bytes);
/// "1:02:03" or "4:05"
std::string human_duration(double seconds);

}  // namespace millrace
