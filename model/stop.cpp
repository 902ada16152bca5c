#include "model/stop.h"

#include <atomic>

namespace millrace {
namespace {

std::atomic<bool> requested = false;
std::atomic<int> held = 0;

}  // namespace

void request_stop() {
  requested = true;
}

void withdraw_stop() {
  requested = false;
}

bool stop_requested() noexcept {
  return requested.load(std::memory_order_relaxed) && held.load(std::memory_order_relaxed) == 0;
}

void throw_if_stopped() {
  if (stop_requested()) throw Stopped();
}

HeldStop::HeldStop() {
  ++held;
}

HeldStop::~HeldStop() {
  --held;
}

}  // namespace millrace
