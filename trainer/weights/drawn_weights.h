#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "model/config/model_config.h"
#include "model/parameters/initial_values.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// The numbers that a run of this seed draws its first weights from.
UniformNumbers first_numbers(std::uint64_t seed);

/// Draws a model's first weights straight into its files in `folder`, a few at a time, in f32 or bf16: those that a run
/// of the same seed begins with. Each file appears whole or not at all. `drawn` is told how many there are so far.
/// Throws Stopped (model/stop.h), std::system_error.
void write_drawn_weights(const std::filesystem::path& folder, const ModelConfig& config, TensorType type,
                         std::uint64_t seed, const std::function<void(std::uint64_t)>& drawn);

}  // namespace millrace
