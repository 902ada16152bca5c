#include "cli/console/progress.h"

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/console/messages.h"

namespace millrace {
namespace {

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr int kBarWidth = 24;

std::string bar(double fraction) {
  std::string drawn = "[";
  for (int i = 0; i < kBarWidth; ++i) drawn += i < std::lround(fraction * kBarWidth) ? '=' : ' ';
  return drawn + "]";
}

}  // namespace

Progress::Progress(std::string what, std::uint64_t total, std::string unit)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  finish();
}

void Progress::update(std::uint64_t done, const std::string& note) {
  const auto now = std::chrono::steady_clock::now();
  if (!started_) {
    started_ = true;
    first_ = done;
    start_ = now;
    drawn_ = terminal_ ? start_ - kTerminalInterval : start_;
  }
  done_ = done;
  note_ = note;
  if (now - drawn_ < (terminal_ ? std::chrono::duration_cast<std::chrono::milliseconds>(kTerminalInterval)
                                : std::chrono::duration_cast<std::chrono::milliseconds>(kPlainInterval)))
    return;
  drawn_ = now;
  draw(done, note);
}

void Progress::finish() {
  if (!started_ || finished_) return;
  finished_ = true;
  draw(done_, note_);
  if (terminal_) write_message("\n");
}

void Progress::draw(std::uint64_t done, const std::string& note) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
  std::string line = what_ + " ";
  if (total_ > 0) {
    const double fraction = static_cast<double>(done) / static_cast<double>(total_);
    if (terminal_) line += bar(fraction) + " ";
    line += fmt::format("{:.0f} % of {} {}", 100 * fraction, human_count(static_cast<double>(total_)), unit_);
  } else {
    line += fmt::format("{} {}", human_count(static_cast<double>(done)), unit_);
  }
  if (rate > 0) line += fmt::format(", {} {}/s", human_count(rate), unit_);
  if (total_ > done && rate > 0) line += ", " + human_duration(static_cast<double>(total_ - done) / rate) + " left";
  if (finished_) line += ", took " + human_duration(seconds);
  if (!note.empty()) line += ", " + note;
  write_message((terminal_ ? "\r\033[K" : "") + shown_in_line(line) + (terminal_ ? "" : "\n"));
}

std::string human_count(double value) {
  static constexpr std::array<const char*, 6> prefixes{"", " k", " M", " G", " T", " P"};
  std::size_t prefix = 0;
  while (std::abs(value) >= 999.5 && prefix + 1 < prefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  if (prefix == 0 && value == std::floor(value)) return fmt::format("{:.0f}", value);
  const int decimals = std::abs(value) >= 99.95 ? 0 : std::abs(value) >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, decimals, prefixes[prefix]);
}

std::string human_bytes(double bytes) {
  const std::string count = human_count(bytes);
  return count + (count.find(' ') == std::string::npos ? " B" : "B");
}

std::string human_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace millrace
