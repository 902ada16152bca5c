#pragma once

#include <memory>

#include "model/config/model_config.h"
#include "model/parameters/parameter.h"

namespace millrace::test {

/// A model that has all that OpenMoE has, with sizes that are no powers of two.
ModelConfig small_model();

/// Random weights of a model on a device.
std::unique_ptr<ParameterMemory> drawn(Device& device, const ModelConfig& config);

}  // namespace millrace::test
