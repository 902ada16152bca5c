#include "pipeline/python/interruptible.h"

#include <chrono>
#include <exception>
#include <future>

#include <pybind11/pybind11.h>

namespace millrace {

bool signal_raised() {
  const pybind11::gil_scoped_acquire lock;
  return PyErr_CheckSignals() != 0;
}

void run_interruptibly(const std::function<void(const std::atomic<bool>& interrupted)>& job) {
  constexpr std::chrono::milliseconds kBetween(50);
  std::atomic<bool> interrupted = false;
  std::exception_ptr failure;
  {
    const pybind11::gil_scoped_release unlocked;
    std::future<void> done = std::async(std::launch::async, [&] { job(interrupted); });
    while (done.wait_for(kBetween) != std::future_status::ready)
      if (!interrupted && signal_raised()) interrupted = true;
    try {
      done.get();
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (interrupted) throw pybind11::error_already_set();
  if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace millrace
