#pragma once

namespace millrace {

/// Makes SIGINT and SIGTERM set a flag; a second SIGINT ends the process at once with code 130.
void watch_for_interrupt();

/// True once Ctrl-C was pressed. Long loops ask between items, save, and throw Interrupted.
bool interrupt_requested();

}  // namespace millrace
