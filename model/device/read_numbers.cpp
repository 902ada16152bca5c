#include "model/device/read_numbers.h"

namespace millrace {

/// Floats are read into the upper half of the memory, and widened from the front.
void begin_reading(Device& device, const Tensor& there, std::span<double> to) {
  if (there.type == Type::f64) return device.to_host_later(to.data(), there.data, to.size_bytes());
  device.to_host_later(reinterpret_cast<float*>(to.data()) + to.size(), there.data, to.size() * sizeof(float));
}

void end_reading(Type type, std::span<double> to) {
  if (type == Type::f64) return;
  const auto* floats = reinterpret_cast<const float*>(to.data()) + to.size();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(floats[i]);
}

void read_numbers(Device& device, const Tensor& there, std::span<double> to) {
  begin_reading(device, there, to);
  device.wait();
  end_reading(there.type, to);
}

}  // namespace millrace
