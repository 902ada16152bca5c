#pragma once

#include <span>

#include "model/device/device.h"

namespace millrace {

/// Numbers of the real type as doubles; waits. REQUIRES: as many as the tensor has, which lie together.
void read_numbers(Device& device, const Tensor& there, std::span<double> to);

/// The same in two halves, between which a moment() behind the first is waited for.
void begin_reading(Device& device, const Tensor& there, std::span<double> to);
void end_reading(Type type, std::span<double> to);

}  // namespace millrace
