#pragma once

#include <string>

#include <sys/types.h>

namespace millrace {

/// The process that an object with threads was made in: a forked child has the object, but not its threads.
class OwnProcess {
 public:
  OwnProcess();

  bool is_this() const;
  /// Throws std::runtime_error, naming `what`, in a forked child.
  void require(const std::string& what) const;

 private:
  pid_t process_;
};

/// To be called before the libraries' threads are used. Throws std::runtime_error if they were used in a process that
/// this one was forked from: they would be waited for in vain.
void begin_to_use_threads();

}  // namespace millrace
