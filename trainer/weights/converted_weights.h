#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "trainer/weights/safetensors.h"

namespace millrace {

/// Writes a model's files into `folder`, each of which appears whole or not at all, a few numbers at a time: as f32 or
/// bf16, or without `type` each as it is. A bf16 number is the nearest one, ties to even. `written` is told the number
/// of weights written so far, and may throw. Throws ConfigError naming the tensor if it is not of floating-point
/// numbers and is to be converted, DataError if a number is not finite as bf16.
void write_converted(const std::filesystem::path& folder, const std::vector<TensorView>& tensors,
                     std::optional<TensorType> type, const std::function<void(std::uint64_t)>& written);

}  // namespace millrace
