#pragma once

#include <exception>

namespace millrace {

/// A request that long computing ends, for the whole process. Whoever computes looks at it between blocks of at most a
/// second (see for_long_ranges, matmul.h); what was begun is then given up, and its results are worth nothing.

/// What a pass that was given up throws, on the thread that called it.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "computing was stopped"; }
};

void request_stop();             ///< Any thread.
void withdraw_stop();            ///< So that computing can go on after all.
bool stop_requested() noexcept;  ///< Any thread; costs next to nothing.
void throw_if_stopped();         ///< Throws Stopped. Not within a parallel region.

}  // namespace millrace
