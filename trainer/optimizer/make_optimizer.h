#pragma once

#include <memory>

#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "model/parameters/parameter.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The optimizer that config.optimizer names, for parameters on the device; both must outlive it. Throws ConfigError
/// naming those that exist, or the setting that is out of range.
std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, Device& device, const Parameters& parameters);
/// The same for some parts of them.
std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, Device& device, const Parameters& parameters,
                                          const OwnedParts& owned);

/// From the next update on, the optimizer's settings are those of `config`, which names the same optimizer. Throws
/// likewise.
void change_settings(const TrainConfig& config, Optimizer& optimizer);

}  // namespace millrace
