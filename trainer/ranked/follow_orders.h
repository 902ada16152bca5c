#pragma once

#include <functional>
#include <string>

#include "trainer/distributed/communicator.h"

namespace millrace {

/// What a rank other than 0 does for the program around it.
struct FollowerHooks {
  /// Told once, with rank 0's text, when the run folder is there.
  std::function<void(const std::string&)> begin = [](const std::string&) {};
};

/// Does what rank 0 tells (RankedBackend), until it says that all is done. Throws as computing does: the job cannot go
/// on then.
void follow_orders(Communicator& ranks, const FollowerHooks& hooks = {});

}  // namespace millrace
