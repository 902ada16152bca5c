#pragma once

namespace millrace {

/// From now on SIGINT and SIGTERM are taken by a thread of their own, which sets a flag and requests that computing
/// stops (model/stop.h). One that comes more than a second later ends the process at once with code 130; the user is
/// told so. So does the thread itself, three seconds after the first, unless something is to be saved: no wait, for a
/// pipe, a disk or a library, holds the process. They are blocked in the calling thread and in those it starts:
/// oneDNN's products keep numbers below the stack's end, where a signal's frame would overwrite them (seen with 2.6.3:
/// wrong sums, a torn heap). REQUIRES: no other thread runs yet.
void watch_for_interrupt();

/// True once Ctrl-C was pressed. Long loops ask between items, save, and throw Interrupted.
bool interrupt_requested();

/// While one is there, an interrupted process is not ended by itself: what is at hand is saved first, however long the
/// disk takes. The process has two seconds when the last one is gone.
class SavesWhenInterrupted {
 public:
  SavesWhenInterrupted();
  ~SavesWhenInterrupted();
  SavesWhenInterrupted(const SavesWhenInterrupted&) = delete;
  SavesWhenInterrupted& operator=(const SavesWhenInterrupted&) = delete;
};

}  // namespace millrace
