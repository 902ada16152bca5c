#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "stages/errors.h"

namespace millrace {

/// How a long job is watched. The functions are called from any thread, each of them one call at a time.
struct JobCallbacks {
  /// How far the present part of the work is, in `unit`s.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t total, const char* unit)> progress =
      [](const std::string&, std::uint64_t, std::uint64_t, const char*) {};
  /// A line for the log.
  std::function<void(const std::string& line)> notice = [](const std::string&) {};
  /// Asked often, from any number of threads at once: true asks that the job end.
  std::function<bool()> interrupted = [] { return false; };

  /// Throws Interrupted once that is asked.
  void leave_if_interrupted() const {
    if (interrupted()) throw Interrupted();
  }
};

}  // namespace millrace
