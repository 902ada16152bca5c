#pragma once

#include <filesystem>
#include <vector>

#include "model/device/device.h"
#include "model/parameters/parameter.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// Copies a tensor of a file to the device's memory, converted to f32. REQUIRES: as many elements, which lie together.
void load_tensor(Device& device, const TensorView& from, const Tensor& to);

/// Copies a checkpoint folder's weights into the parameters' values, converted to f32. Changes nothing unless
/// everything fits. Throws as WeightFiles does. To read a model without training it, see mapped_weights.h.
void load_parameters(Device& device, const std::filesystem::path& folder, const Parameters& parameters);

}  // namespace millrace
