#include "cli/console/results.h"

#include <cstddef>
#include <string>
#include <utility>

#include <unistd.h>

#include "cli/console/terminal_text.h"
#include "stages/io/disk.h"

namespace millrace {
namespace {

constexpr std::size_t kHeldBack = 1 << 16;

std::string& held_back() {
  static std::string text;
  return text;
}

bool& has_failed() {
  static bool failed = false;
  return failed;
}

}  // namespace

void print_results(std::string_view text) {
  print_raw_results(shown(text));
}

void print_raw_results(std::string_view text) {
  if (has_failed()) return;
  held_back() += text;
  static const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  if (is_terminal || held_back().size() >= kHeldBack) flush_results();
}

void flush_results() {
  const std::string text = std::exchange(held_back(), {});
  if (text.empty()) return;
  has_failed() = true;  // Reset below after success.
  write_all(STDOUT_FILENO, "standard output", text);
  has_failed() = false;
}

}  // namespace millrace
