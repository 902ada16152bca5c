#include "cli/console/interrupt.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <unistd.h>

#include "cli/console/messages.h"
#include "model/stop.h"

namespace millrace {
namespace {

/// timeout(1), schedulers and repeated key presses send a signal more than once.
constexpr std::chrono::seconds kSameRequest(1);

/// Time for a process with nothing to save to end by itself.
constexpr std::chrono::seconds kToEnd(2);

std::atomic<int> saving = 0;  // Live SavesWhenInterrupted objects.
std::atomic<bool> is_led = false;
std::atomic<bool> has_come = false;  // A signal.

/// Returns when a signal comes, or after this long with nothing to save.
void wait_for_another(const sigset_t& signals) {
  using Clock = std::chrono::steady_clock;
  constexpr timespec kBetween{.tv_sec = 0, .tv_nsec = 100'000'000};
  Clock::time_point until = Clock::now() + kToEnd;
  while (Clock::now() < until) {
    if (sigtimedwait(&signals, nullptr, &kBetween) > 0) return;
    if (saving > 0) until = Clock::now() + kToEnd;
  }
}

void wait_for_signals(sigset_t signals) {
  int signal = 0;
  if (sigwait(&signals, &signal) != 0) return;
  has_come = true;
  request_stop();
  if (is_led) return;
  std::this_thread::sleep_for(kSameRequest);
  constexpr timespec at_once{};
  while (sigtimedwait(&signals, nullptr, &at_once) > 0) {
  }
  if (isatty(STDERR_FILENO) == 1) write_message("\r\033[K");
  say_line(saving > 0 ? "stopping after what is at hand is saved; once more ends at once, without saving"
                      : "stopping; once more ends at once");
  wait_for_another(signals);
  _exit(kInterruptedExit);
}

}  // namespace

void watch_for_interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_sigmask");
  std::thread(wait_for_signals, signals).detach();
}

void leave_ending_to_another() {
  is_led = true;
}

bool interrupt_requested() {
  return stop_requested();
}

bool signal_came() {
  return has_come;
}

SavesWhenInterrupted::SavesWhenInterrupted() {
  ++saving;
}

SavesWhenInterrupted::~SavesWhenInterrupted() {
  --saving;
}

}  // namespace millrace
