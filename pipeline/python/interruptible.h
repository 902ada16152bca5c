#pragma once

#include <atomic>
#include <functional>

namespace millrace {

/// Lets Python look for signals, and run their handlers if this is its main thread. True: a handler raised (Ctrl-C),
/// and its exception is set: throw pybind11::error_already_set. The caller does not hold Python's lock.
bool signal_raised();

/// Runs `job` on a thread of its own while this one waits, without Python's lock, and looks for signals some times a
/// second. After Ctrl-C `interrupted` is true, and once the job has ended its KeyboardInterrupt is raised. Throws what
/// the job throws.
void run_interruptibly(const std::function<void(const std::atomic<bool>& interrupted)>& job);

}  // namespace millrace
