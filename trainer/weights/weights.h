#pragma once

#include <filesystem>

#include "model/parameters/parameter.h"

namespace millrace {

/// Copies a checkpoint folder's weights into the parameters' values, converted to f32. Changes nothing unless
/// everything fits. Throws as WeightFiles does. To read a model without training it, see mapped_weights.h.
void load_parameters(const std::filesystem::path& folder, Parameters<float>& parameters);

/// Writes model.safetensors into `folder`, atomically, in f32 and in the released names.
void save_parameters(const std::filesystem::path& folder, const Parameters<float>& parameters);

}  // namespace millrace
