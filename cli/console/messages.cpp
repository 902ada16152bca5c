#include "cli/console/messages.h"

#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#include <unistd.h>

#include "stages/io/disk.h"

namespace millrace {
namespace {

/// The error of standard error, and whom to notify.
class Trouble {
 public:
  void note(const std::string& what) {
    const std::unique_lock lock(mutex_);
    if (what_.empty()) what_ = what;
  }
  void inform(std::function<void(const std::string&)> teller) {
    const std::unique_lock lock(mutex_);
    teller_ = std::move(teller);
  }
  /// The callback runs without the lock: the log that it writes to may report errors of its own here.
  void tell() {
    std::unique_lock lock(mutex_);
    if (what_.empty() || !teller_ || std::exchange(told_, true)) return;
    const auto teller = teller_;
    const std::string what = what_;
    lock.unlock();
    teller(what);
  }

 private:
  std::mutex mutex_;
  std::string what_;
  bool told_ = false;
  std::function<void(const std::string&)> teller_;
};

Trouble& trouble() {
  static Trouble trouble;
  return trouble;
}

}  // namespace

void write_message(std::string_view text) noexcept {
  try {
    write_all(STDERR_FILENO, "standard error", text);
  } catch (const std::exception& error) {
    try {
      trouble().note(error.what());
      trouble().tell();
    } catch (const std::exception&) {  // There is no other place to report it.
    }
  }
}

void say_line(std::string_view line) noexcept {
  try {
    write_message(shown(line) + "\n");
  } catch (const std::exception&) {
    write_message(line);  // No memory for a copy.
  }
}

void when_messages_fail(std::function<void(const std::string&)> tell) {
  trouble().inform(std::move(tell));
  trouble().tell();
}

}  // namespace millrace
