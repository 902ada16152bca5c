#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <cuda_runtime_api.h>

#include "model/device/device.h"

namespace millrace {

/// A recording as a CUDA graph: a launch for all of its work, where each kernel alone would cost the host one.
class CapturedWork : public Recording {
 public:
  /// Calls `work`, which gives the stream what is captured. `releases` counts how often the device's memory was
  /// released, and outlives this. Throws what work throws, std::runtime_error for what cannot be captured.
  CapturedWork(cudaStream_t stream, const std::function<void()>& work, const std::size_t& releases);

  /// Throws std::logic_error if memory was released since: it might be what the work reads or writes.
  void play() override;

 private:
  struct Deleter {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };

  cudaStream_t stream_;
  const std::size_t& releases_;
  std::size_t releases_before_;
  std::unique_ptr<CUgraphExec_st, Deleter> graph_;
};

}  // namespace millrace
