#pragma once

namespace millrace {

/// The exit code after SIGINT, SIGTERM or SIGUSR1, which launchers of several processes pass on.
inline constexpr int kInterruptedExit = 130;

/// Starts a thread that receives SIGINT, SIGTERM and SIGUSR1; it sets a flag and requests that computing stops
/// (model/stop.h). A second signal more than a second later ends the process at once with code 130; a message says so.
/// Three seconds after the first signal the thread ends the process itself, unless something has to be saved, so that
/// no wait for a pipe, a disk or a library can hold it. The signals are blocked in the calling thread and those it
/// starts: oneDNN's products keep data below the stack pointer, where a signal's frame would overwrite it (in 2.6.3:
/// wrong sums, a corrupt heap). REQUIRES: no other thread runs yet.
void watch_for_interrupt();

/// From now on a signal makes this process's computing stop, says nothing, and ends nothing: another process, which
/// leads this one, ends it.
void leave_ending_to_another();

/// True after SIGINT, SIGTERM or SIGUSR1. Long loops check it between items, save, and throw Interrupted.
bool interrupt_requested();

/// Whether a signal came, also while a HeldStop (model/stop.h) makes what it asks for wait. Any thread.
bool signal_came();

/// While such an object lives, the signal thread does not end an interrupted process: the state is saved first, however
/// long that takes. After the last one is destroyed the process has two seconds to end.
class SavesWhenInterrupted {
 public:
  SavesWhenInterrupted();
  ~SavesWhenInterrupted();
  SavesWhenInterrupted(const SavesWhenInterrupted&) = delete;
  SavesWhenInterrupted& operator=(const SavesWhenInterrupted&) = delete;
};

}  // namespace millrace
