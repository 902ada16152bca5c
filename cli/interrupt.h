#pragma once

namespace millrace {

/// From now on SIGINT and SIGTERM are taken by a thread of their own, which sets a flag. One that comes more than a
/// second later ends the process at once with code 130; the user is told so. They are blocked in the calling thread and
/// in those it starts: oneDNN's products keep numbers below the stack's end, where a signal's frame would overwrite
/// them (seen with 2.6.3: wrong sums, a torn heap). REQUIRES: no other thread runs yet.
void watch_for_interrupt();

/// True once Ctrl-C was pressed. Long loops ask between items, save, and throw Interrupted.
bool interrupt_requested();

}  // namespace millrace
