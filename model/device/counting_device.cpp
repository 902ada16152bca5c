#include "model/device/counting_device.h"

namespace millrace {

void* CountingDevice::allocate(std::size_t bytes) {
  constexpr std::uintptr_t kAlignment = 256;
  const std::uintptr_t at = next_;
  sizes_[at] = bytes;
  bytes_ += bytes;
  next_ += (bytes + kAlignment) / kAlignment * kAlignment;
  return reinterpret_cast<void*>(at);
}

void CountingDevice::release(void* memory) {
  const auto found = sizes_.find(reinterpret_cast<std::uintptr_t>(memory));
  bytes_ -= found->second;
  sizes_.erase(found);
}

}  // namespace millrace
