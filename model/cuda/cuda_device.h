#pragma once

#include <memory>
#include <unordered_map>

#include <cuda_runtime_api.h>

#include "model/cuda/copies.h"
#include "model/cuda/cublas_products.h"
#include "model/cudnn/cudnn_attention.h"
#include "model/device/device.h"
#include "model/device/few_rows.h"

namespace millrace {

/// An NVIDIA card: the first that CUDA shows. All work goes into one stream, in order. Memory is the card's; what
/// is copied from or to the host lies in ordinary memory there, and may be changed as soon as the call has returned.
class CudaDevice : public Device {
 public:
  /// Throws std::runtime_error, with a reason that names what is missing. REQUIRES: f32 or bf16.
  explicit CudaDevice(const DeviceSettings& settings);
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  /// Card, driver and libraries, which results depend on.
  std::string name() const override { return name_; }
  Precision precision() const override { return precision_; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory) override;
  void clear(void* memory, std::size_t bytes) override;
  void to_device(void* to, const void* from, std::size_t bytes) override;
  void to_host(void* to, const void* from, std::size_t bytes) override;
  void to_host_later(void* to, const void* from, std::size_t bytes) override;
  void run(const AnyKernel& kernel, Index blocks) override;
  void multiply(const Product& product) override;
  void attend(const AttentionCall& call) override { attention_->attend(call); }
  void attend_backward(const AttentionGradient& call) override { attention_->attend_backward(call); }
  std::string fault_of_attend_backward(Index rows, Index length, Index heads, Index width) override {
    return attention_->fault_of_attend_backward(rows, length, heads, width);
  }
  std::unique_ptr<Recording> record(std::function<void()> work) override;
  LossChunk loss_chunk() const override { return kLossChunkOfACard; }
  bool has_ragged_products() const override { return false; }
  bool takes_ragged_rows(Index rows) const override { return rows <= kMostFewRows; }
  std::uint64_t free_bytes() override;
  Moment moment() override { return returning_->moment(); }
  void wait_for(Moment moment) override { returning_->wait_for(moment); }
  void wait() override { returning_->wait(); }

 private:
  struct StreamDeleter {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  using Stream = std::unique_ptr<CUstream_st, StreamDeleter>;

  Precision precision_;
  std::string name_;
  Stream stream_;
  std::unique_ptr<CublasProducts> products_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Returning> returning_;
  std::unordered_map<void*, std::size_t> sizes_;
  std::size_t used_ = 0;
  std::size_t releases_ = 0;                   ///< So far.
  bool is_recording_ = false;                  ///< Copies would be made of what staging memory holds then.
  std::unique_ptr<CudnnAttention> attention_;  ///< Its memory is this device's.
};

}  // namespace millrace
