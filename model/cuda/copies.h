#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

#include <cuda_runtime_api.h>

#include "model/cuda/cuda_error.h"

namespace millrace {

/// When the work is done that a stream was given before.
class CudaEvent {
 public:
  CudaEvent() { demand(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "tell when it is done"); }
  ~CudaEvent() { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record(cudaStream_t stream) { demand(cudaEventRecord(event_, stream), "tell when it is done"); }
  /// Returns at once where nothing was recorded.
  void wait() { demand(cudaEventSynchronize(event_), "finish its work"); }

 private:
  cudaEvent_t event_ = nullptr;
};

/// The way to the card: memory of the host that a card reads by itself. What is copied through it leaves the caller's
/// memory at once, and the caller need not wait until the card has come to the copy.
class Staging {
 public:
  static constexpr std::size_t kPartBytes = 4 << 20;
  static constexpr std::size_t kParts = 8;

  explicit Staging(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Copies to the card in the order of the stream. Waits where the card has still to read what lies in the part of the
  /// memory that is needed next: of long copies the host fills one part while the card reads the others.
  void copy(void* to, const void* from, std::size_t bytes);

 private:
  cudaStream_t stream_;
  std::byte* memory_ = nullptr;
  std::size_t part_ = 0;
  std::size_t used_ = 0;                ///< Of the part.
  std::array<CudaEvent, kParts> read_;  ///< When the card has read a part.
};

/// The way back from the card: memory of the host that a card writes by itself, so that the host need not wait for the
/// copy. What came is handed on when the host has waited for a moment behind it.
class Returning {
 public:
  static constexpr std::size_t kBytes = 32 << 20;
  static constexpr std::size_t kPieceBytes = 4 << 20;

  explicit Returning(cudaStream_t stream);
  ~Returning();
  Returning(const Returning&) = delete;
  Returning& operator=(const Returning&) = delete;

  /// `to` is written by wait(), or by wait_for() a moment behind this call; and at once where the memory is full: long
  /// copies go in pieces, of which the host hands on one while the card writes the others.
  void copy(void* to, const void* from, std::size_t bytes);

  std::uint64_t moment();  ///< Of now; the first is 1.
  void wait_for(std::uint64_t moment);
  void wait();

 private:
  struct Coming {
    void* to;
    std::size_t place;
    std::size_t bytes;
    std::uint64_t moment;  ///< That tells that it is there.
  };
  /// A place in the memory for so many bytes, after waiting for what is in the way.
  std::size_t room(std::size_t bytes);
  void hand_on(std::uint64_t moment);

  cudaStream_t stream_;
  std::byte* memory_ = nullptr;
  std::size_t next_ = 0;
  std::deque<Coming> coming_;  ///< In order.
  std::uint64_t last_ = 0;
  std::array<CudaEvent, 16> events_;  ///< Of moments, by number: an older one's tells of a later one.
};

}  // namespace millrace
