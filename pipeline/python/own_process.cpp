#include "pipeline/python/own_process.h"

#include <atomic>
#include <stdexcept>

#include <fmt/format.h>
#include <unistd.h>

namespace millrace {
namespace {

constexpr const char* kAdvice =
    "make it in the process that uses it, with the start method spawn (multiprocessing.get_context(\"spawn\"), "
    "DataLoader(multiprocessing_context=\"spawn\"))";

std::atomic<pid_t> threads_of = 0;  // The process that used them first; 0: none has.

}  // namespace

OwnProcess::OwnProcess() : process_(::getpid()) {}

bool OwnProcess::is_this() const {
  return process_ == ::getpid();
}

void OwnProcess::require(const std::string& what) const {
  if (is_this()) return;
  throw std::runtime_error(
      fmt::format("{} was made in process {}, of which {} is a fork: its threads are not here; {}, from state()", what,
                  process_, ::getpid(), kAdvice));
}

void begin_to_use_threads() {
  pid_t first = 0;
  if (threads_of.compare_exchange_strong(first, ::getpid()) || first == ::getpid()) return;
  throw std::runtime_error(
      fmt::format("process {} is a fork of {}, which used millrace's threads: they are not here; use them only behind "
                  "the fork, or {}",
                  ::getpid(), first, kAdvice));
}

}  // namespace millrace
