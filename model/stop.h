#pragma once

#include <exception>

namespace millrace {

/// A process-wide request to stop long computations. They check it between blocks of at most a second (see
/// for_long_ranges, gemm.h), then give up; their results are undefined.

/// Thrown by a pass that was stopped, on the thread that called it.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "computing was stopped"; }
};

void request_stop();             ///< Any thread.
void withdraw_stop();            ///< So that computing can go on after all.
bool stop_requested() noexcept;  ///< Any thread; costs next to nothing.
void throw_if_stopped();         ///< Throws Stopped. Not within a parallel region.

/// While one lives, a requested stop waits: for passes that several processes make together, of which none may end on
/// one of them alone.
class HeldStop {
 public:
  HeldStop();
  ~HeldStop();
  HeldStop(const HeldStop&) = delete;
  HeldStop& operator=(const HeldStop&) = delete;
};

}  // namespace millrace
