#include "model/device/read_numbers.h"

namespace millrace {

void read_numbers(Device& device, const Tensor& there, std::span<double> to) {
  if (there.type == Type::f64) return device.to_host(to.data(), there.data, to.size_bytes());
  // Floats are read into the upper half of the memory, and widened from the front.
  auto* floats = reinterpret_cast<float*>(to.data()) + to.size();
  device.to_host(floats, there.data, to.size() * sizeof(float));
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(floats[i]);
}

}  // namespace millrace
