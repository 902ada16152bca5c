#include "cli/interrupt.h"

#include <atomic>
#include <csignal>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <unistd.h>

namespace millrace {
namespace {

std::atomic<bool> requested = false;

void wait_for_signals(sigset_t signals) {
  for (int signal = 0; sigwait(&signals, &signal) == 0;) {
    if (requested.exchange(true)) _exit(130);
  }
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
