#pragma once

#include <cstdint>
#include <map>

#include "model/device/device.h"

namespace millrace {

/// A device that only counts the memory that it is asked for: what a model would take, without taking it. Its memory
/// must not be touched, and all work on it does nothing; what is read from it stays as it was.
class CountingDevice : public Device {
 public:
  /// Without ragged products it counts as a card.
  CountingDevice(Precision precision, bool has_ragged_products)
      : precision_(precision), has_ragged_products_(has_ragged_products) {}

  std::uint64_t bytes() const { return bytes_; }  ///< Allocated and not released.

  std::string name() const override { return "a device that only counts memory"; }
  Precision precision() const override { return precision_; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory) override;
  void clear(void* /*memory*/, std::size_t /*bytes*/) override {}
  void to_device(void* /*to*/, const void* /*from*/, std::size_t /*bytes*/) override {}
  void to_host(void* /*to*/, const void* /*from*/, std::size_t /*bytes*/) override {}
  void run(const AnyKernel& /*kernel*/, Index /*blocks*/) override {}
  void multiply(const Product& product) override { check(product); }
  void attend(const AttentionCall& /*call*/) override {}
  void attend_backward(const AttentionGradient& /*call*/) override {}
  LossChunk loss_chunk() const override { return has_ragged_products_ ? LossChunk() : kLossChunkOfACard; }
  bool has_ragged_products() const override { return has_ragged_products_; }
  void wait() override {}

 private:
  Precision precision_;
  bool has_ragged_products_;
  std::uint64_t bytes_ = 0;
  std::uintptr_t next_ = 1 << 20;
  std::map<std::uintptr_t, std::size_t> sizes_;
};

}  // namespace millrace
