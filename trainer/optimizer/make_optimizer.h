#pragma once

#include <memory>

#include "trainer/config/train_config.h"
#include "trainer/optimizer/optimizer.h"

namespace millrace {

/// The optimizer that config.optimizer names. Throws ConfigError naming those that exist.
std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, const Parameters<float>& parameters);

}  // namespace millrace
