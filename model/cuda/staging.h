#pragma once

#include <cstddef>

#include <cuda_runtime_api.h>

namespace millrace {

/// Memory of the host that a card reads by itself: what is copied through it leaves the caller's memory at once, and
/// the caller need not wait until the card has come to the copy.
class Staging {
 public:
  static constexpr std::size_t kBytes = 32 << 20;
  static constexpr std::size_t kMostAtOnce = kBytes / 8;

  explicit Staging(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Copies to the card in the order of the stream. Waits for the stream once in kBytes. More than kMostAtOnce go
  /// without detour, for which the card must have done all that it was given before.
  void copy(void* to, const void* from, std::size_t bytes);

 private:
  cudaStream_t stream_;
  std::byte* memory_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace millrace
