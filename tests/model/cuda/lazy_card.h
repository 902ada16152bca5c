#pragma once

// The parts of CUDA's runtime that copies use, as a card would have them that does everything as late as it may. To be
// included once by a program that does not link the runtime.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <deque>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

struct CUevent_st {
  std::size_t position = 0;  ///< How much of the stream's work was given before.
};

namespace millrace::test {

/// One stream's work.
class LazyCard {
 public:
  static LazyCard& only() {
    static LazyCard card;
    return card;
  }

  void copy(void* to, const void* from, std::size_t bytes) { copies_.push_back({to, from, bytes}); }
  std::size_t given() const { return done_ + copies_.size(); }
  void do_until(std::size_t position) {
    for (; done_ < position; ++done_, copies_.pop_front())
      std::memcpy(copies_.front().to, copies_.front().from, copies_.front().bytes);
  }
  std::size_t most_waiting() const { return copies_.size(); }

 private:
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
  };
  std::deque<Copy> copies_;
  std::size_t done_ = 0;
};

}  // namespace millrace::test

extern "C" {
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind /*kind*/,
                            cudaStream_t /*stream*/) {
  millrace::test::LazyCard::only().copy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) {
  millrace::test::LazyCard::only().do_until(millrace::test::LazyCard::only().given());
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t /*stream*/) {
  event->position = millrace::test::LazyCard::only().given();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  millrace::test::LazyCard::only().do_until(event->position);
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t /*error*/) {
  return "an error";
}
const char* cublasLtGetStatusString(cublasStatus_t /*status*/) {
  return "an error";
}
}
