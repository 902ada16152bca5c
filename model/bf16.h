#pragma once

#include <bit>
#include <cstdint>

#include "model/host_device.h"

namespace millrace {

/// A bfloat16: the upper half of a float's bits. Only oneDNN computes with it.
enum class Bf16 : std::uint16_t {};

/// What matrix products read: floats, or floats rounded to bf16, with f32 sums either way; f64, in which everything is
/// double, is for checks.
enum class Precision : std::uint8_t { f32, bf16, f64 };

/// Whether this processor has instructions for products of bf16 (AVX512-BF16 or AMX).
bool processor_has_bf16();

/// The nearest bf16, ties to even. NaN becomes infinity or NaN.
MILLRACE_HD Bf16 rounded(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}
MILLRACE_HD float widened(Bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16U);
}

}  // namespace millrace
