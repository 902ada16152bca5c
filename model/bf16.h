#pragma once

#include <bit>
#include <cstdint>

#include "model/matrix.h"

namespace millrace {

/// A bfloat16: the upper half of a float's bits. Only oneDNN computes with it.
enum class Bf16 : std::uint16_t {};

/// What matrix products read: floats, or floats rounded to bf16. Sums are f32 either way.
enum class Precision : std::uint8_t { f32, bf16 };

/// Whether this processor has instructions for products of bf16 (AVX512-BF16 or AMX).
bool processor_has_bf16();

/// The nearest bf16, ties to even. NaN becomes infinity or NaN.
inline Bf16 rounded(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}
inline float widened(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U);
}

/// to = from, rounded; same shapes, on all OpenMP threads.
void round_to(View<const float> from, View<Bf16> to);

}  // namespace millrace
