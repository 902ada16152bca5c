#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/host_device.h"
#include "model/lanes/numbers.h"
#include "model/matrix.h"

namespace millrace {

/// Eight numbers in registers. A GPU's lane moves them to and from memory 16 bytes at a time, which takes the fewest
/// instructions a byte: eight of bf16, or twice four floats.
template <class Number>
struct Eight {
  static constexpr int kCount = 8;
  Number number[kCount]{};

  MILLRACE_HD Eight& operator+=(const Eight& other) {
    for (int i = 0; i < kCount; ++i) number[i] += other.number[i];
    return *this;
  }
};

constexpr std::size_t kMovedBytes = 16;

MILLRACE_HD bool is_aligned(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % kMovedBytes == 0;
}

/// REQUIRES: is_aligned(from).
template <class Number>
MILLRACE_HD Eight<Number> load_eight(const Number* from) {
  Eight<Number> numbers;
#if defined(__CUDA_ARCH__)
  struct alignas(kMovedBytes) Moved {
    std::uint32_t words[4];
  };
  const auto* moved = reinterpret_cast<const Moved*>(from);
  MILLRACE_UNROLL(4)
  for (std::size_t i = 0; i < sizeof(numbers) / kMovedBytes; ++i) {
    const Moved one = moved[i];
    memcpy(reinterpret_cast<std::byte*>(numbers.number) + i * kMovedBytes, &one, kMovedBytes);
  }
#else
  std::memcpy(numbers.number, from, sizeof(numbers));
#endif
  return numbers;
}

/// The first `count` numbers, zeros behind them. `is_whole`: there are eight, and they are aligned.
template <class Number>
MILLRACE_HD Eight<Number> up_to_eight(const Number* from, Index count, bool is_whole) {
  if (is_whole) return load_eight(from);
  Eight<Number> numbers;
  for (int i = 0; i < Eight<Number>::kCount; ++i)
    if (i < count) numbers.number[i] = from[i];
  return numbers;
}

/// REQUIRES: is_aligned(to).
template <class Number>
MILLRACE_HD void store_eight(Number* to, const Eight<Number>& numbers) {
#if defined(__CUDA_ARCH__)
  struct alignas(kMovedBytes) Moved {
    std::uint32_t words[4];
  };
  auto* moved = reinterpret_cast<Moved*>(to);
  MILLRACE_UNROLL(4)
  for (std::size_t i = 0; i < sizeof(numbers) / kMovedBytes; ++i) {
    Moved one;
    memcpy(&one, reinterpret_cast<const std::byte*>(numbers.number) + i * kMovedBytes, kMovedBytes);
    moved[i] = one;
  }
#else
  std::memcpy(to, numbers.number, sizeof(numbers));
#endif
}

}  // namespace millrace
