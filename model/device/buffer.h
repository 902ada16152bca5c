#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "model/device/device.h"
#include "model/tensor.h"

namespace millrace {

/// Memory of a device. shaped() keeps it if it suffices, and leaves the contents undefined.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(Device& device) : device_(&device) {}
  ~Buffer() { release(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  /// Room for so many bytes: shaped() allocates nothing up to that.
  void reserve(std::size_t bytes) {
    if (bytes <= capacity_) return;
    release();
    memory_ = device_->allocate(bytes);
    capacity_ = bytes;
  }
  Tensor shaped(Index rows, Index columns, Type type) {
    reserve(static_cast<std::size_t>(rows * columns) * bytes_of(type));
    tensor_ = {memory_, type, rows, columns, columns};
    return tensor_;
  }
  Tensor tensor() const { return tensor_; }  ///< As last shaped.

 private:
  void release() {
    if (memory_ != nullptr) device_->release(std::exchange(memory_, nullptr));
    capacity_ = 0;
  }
  void swap(Buffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    std::swap(capacity_, other.capacity_);
    std::swap(tensor_, other.tensor_);
  }

  Device* device_ = nullptr;
  void* memory_ = nullptr;
  std::size_t capacity_ = 0;
  Tensor tensor_;
};

}  // namespace millrace
