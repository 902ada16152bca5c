#include "cli/interrupt.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <unistd.h>

#include "cli/messages.h"

namespace millrace {
namespace {

/// timeout(1), schedulers and impatient fingers send a signal more than once.
constexpr std::chrono::seconds kSameRequest(1);

std::atomic<bool> requested = false;

void wait_for_signals(sigset_t signals) {
  int signal = 0;
  if (sigwait(&signals, &signal) != 0) return;
  requested = true;
  std::this_thread::sleep_for(kSameRequest);
  constexpr timespec at_once{};
  while (sigtimedwait(&signals, nullptr, &at_once) > 0) {
  }
  if (isatty(STDERR_FILENO) == 1) write_message("\r\033[K");
  say_line("stopping after what is at hand; once more ends at once, without saving");
  if (sigwait(&signals, &signal) == 0) _exit(130);
}

}  // namespace

void watch_for_interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_sigmask");
  std::thread(wait_for_signals, signals).detach();
}

bool interrupt_requested() {
  return requested;
}

}  // namespace millrace
