#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/device/device.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"

namespace millrace {

/// What a rank other than 0 does for the program around it.
struct FollowerHooks {
  /// Told once, with rank 0's text, when the run folder is there.
  std::function<void(const std::string&)> begin = [](const std::string&) {};
  /// The device that this rank computes on; empty: as the run says.
  std::function<std::unique_ptr<Device>(const TrainConfig&)> device = {};
};

/// Does what rank 0 tells (RankedBackend), until it says that all is done. Throws as computing does: the job cannot go
/// on then.
void follow_orders(Communicator& ranks, const FollowerHooks& hooks = {});

}  // namespace millrace
