#pragma once

#include "model/cpu/cpu_attention.h"
#include "model/cpu/cpu_products.h"
#include "model/device/device.h"

namespace millrace {

/// The processor: OpenMP threads over blocks whose number and bounds depend on shapes alone, so that any number of
/// threads gives the same bits.
class CpuDevice : public Device {
 public:
  explicit CpuDevice(Precision precision, ProductSource source = ProductSource::onednn);
  ~CpuDevice() override;

  std::string name() const override;
  Precision precision() const override { return precision_; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory) override;
  void clear(void* memory, std::size_t bytes) override;
  void to_device(void* to, const void* from, std::size_t bytes) override;
  void to_host(void* to, const void* from, std::size_t bytes) override;
  void run(const AnyKernel& kernel, Index blocks) override;
  void multiply(const Product& product) override { products_.multiply(product); }
  void attend(const AttentionCall& call) override { attend_on_cpu(call, source_); }
  void attend_backward(const AttentionGradient& call) override { attend_backward_on_cpu(call, source_); }
  bool has_ragged_products() const override { return true; }
  bool reads_host_memory() const override { return true; }
  void wait() override {}

 private:
  Precision precision_;
  ProductSource source_;
  CpuProducts products_;
};

}  // namespace millrace
