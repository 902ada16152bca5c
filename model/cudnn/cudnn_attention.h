#pragma once

#include <map>
#include <memory>
#include <string>

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "model/cudnn/attention_graph.h"
#include "model/device/buffer.h"
#include "model/device/kernel_attention.h"

namespace millrace {

/// Attention on a card: cuDNN's for bf16 without a cache and heads that it takes, else by kernels. Plans are made for
/// the sizes that come, and kept. The same bits each time on one card with one cuDNN, if it is deterministic.
class CudnnAttention {
 public:
  /// Works in `device`, whose stream it is.
  CudnnAttention(Device& device, cudaStream_t stream, bool deterministic);

  /// Throws CudnnError where cuDNN has no plan for the card.
  void attend(const AttentionCall& call);
  void attend_backward(const AttentionGradient& call);
  /// Device::fault_of_attend_backward.
  std::string fault_of_attend_backward(Index rows, Index length, Index heads, Index width) const;

 private:
  struct HandleDeleter {
    void operator()(cudnnHandle_t handle) const { cudnnDestroy(handle); }
  };
  struct Compiled {
    AttentionGraph graph;
    CudnnPlan plan;
  };
  bool is_for_cudnn(const AttentionForm& form, Index start) const;
  void* seen(const AttentionCall& call);
  void* workspace(const CudnnPlan& plan);

  Device& device_;
  bool deterministic_;
  std::unique_ptr<cudnnContext, HandleDeleter> handle_;
  std::map<AttentionForm, Compiled> forward_, backward_;
  Buffer workspace_, first_key_, along_, dq_sums_;
  KernelAttention by_kernels_;
};

}  // namespace millrace
