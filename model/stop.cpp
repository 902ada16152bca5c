#include "model/stop.h"

#include <atomic>

namespace millrace {
namespace {

std::atomic<bool> requested = false;

}  // namespace

void request_stop() {
  requested = true;
}

void withdraw_stop() {
  requested = false;
}

bool stop_requested() noexcept {
  return requested.load(std::memory_order_relaxed);
}

void throw_if_stopped() {
  if (stop_requested()) throw Stopped();
}

}  // namespace millrace
