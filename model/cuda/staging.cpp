#include "model/cuda/staging.h"

#include <cstring>

#include "model/cuda/cuda_error.h"

namespace millrace {

Staging::Staging(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  demand(cudaMallocHost(&memory, kBytes), "get memory of the host that it may read");
  memory_ = static_cast<std::byte*>(memory);
}

Staging::~Staging() {
  cudaStreamSynchronize(stream_);
  cudaFreeHost(memory_);
}

void Staging::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes > kMostAtOnce)
    return demand(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "be written to");
  if (used_ + bytes > kBytes) {
    demand(cudaStreamSynchronize(stream_), "finish its work");
    used_ = 0;
  }
  std::memcpy(memory_ + used_, from, bytes);
  demand(cudaMemcpyAsync(to, memory_ + used_, bytes, cudaMemcpyHostToDevice, stream_), "be written to");
  used_ += bytes;
}

}  // namespace millrace
