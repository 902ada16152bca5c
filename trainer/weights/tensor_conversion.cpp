// Conversion of a tensor's stored elements: the part of safetensors.h that knows number formats.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

namespace {

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

float from_f16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// Elements may be unaligned in a mapped file, hence the copy of each.
template <class Stored, class Out, class Convert>
void convert(const TensorView& tensor, Out* out, Convert to) {
  const std::int64_t count = tensor.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, tensor.data + static_cast<std::size_t>(i) * sizeof stored, sizeof stored);
    out[i] = to(stored);
  }
}

}  // namespace

void copy_as_f32(const TensorView& tensor, float* out) {
  switch (tensor.type) {
    case TensorType::f32:
      if (tensor.bytes() > 0) std::memcpy(out, tensor.data, tensor.bytes());
      return;
    case TensorType::bf16:
      return convert<std::uint16_t>(tensor, out, from_bf16);
    case TensorType::f16:
      return convert<std::uint16_t>(tensor, out, from_f16);
    case TensorType::f64:
      return convert<double>(tensor, out, [](double value) { return static_cast<float>(value); });
    default:
      throw ConfigError(
          fmt::format("tensor \"{}\" is {}; expected floating-point values", tensor.name, name_of(tensor.type)));
  }
}

void copy_as_i32(const TensorView& tensor, std::int32_t* out) {
  const auto narrow = [&](std::int64_t value) {
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max()) {
      throw ConfigError(fmt::format("tensor \"{}\" holds {}, which does not fit 32 bits", tensor.name, value));
    }
    return static_cast<std::int32_t>(value);
  };
  switch (tensor.type) {
    case TensorType::i32:
      if (tensor.bytes() > 0) std::memcpy(out, tensor.data, tensor.bytes());
      return;
    case TensorType::i64:
      return convert<std::int64_t>(tensor, out, narrow);
    default:
      throw ConfigError(fmt::format("tensor \"{}\" is {}; expected I32 or I64", tensor.name, name_of(tensor.type)));
  }
}

}  // namespace millrace
