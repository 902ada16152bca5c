#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "model/host_device.h"

namespace millrace {

/// e^x without branches, so that a compiler makes vectors of it; within 1 unit in the last place. 0 below -87.3, where
/// floats lose digits; infinity above 88.7; NaN of NaN. By Cody and Waite: x = n ln 2 + r, |r| <= ln 2 / 2, and a
/// polynomial for e^r.
MILLRACE_HD float exp_of(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  constexpr float kLeast = -87.33654F;
  constexpr float kMost = 88.72283F;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number.
  const float shifted = x * 1.44269504088896341F + kShift;
  const float n = shifted - kShift;
  const float r = (x - n * 0.693359375F) - n * -2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = (p * r) * r + r + 1.0F;
  // Times 2^n: n is the lowest bits of `shifted`, and is added to p's exponent.
  const float result =
      std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) + (std::bit_cast<std::uint32_t>(shifted) << 23U));
  return ((x >= kLeast) & (x <= kMost)) ? result : (x < kLeast ? 0.0F : x + kInfinity);
#endif
}
MILLRACE_HD double exp_of(double x) {
  return std::exp(x);
}

MILLRACE_HD float log_of(float x) {
  return std::log(x);
}
MILLRACE_HD double log_of(double x) {
  return std::log(x);
}
MILLRACE_HD float root_of(float x) {
  return std::sqrt(x);
}
MILLRACE_HD double root_of(double x) {
  return std::sqrt(x);
}

}  // namespace millrace
