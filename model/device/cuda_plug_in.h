#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "model/device/device.h"

namespace millrace {

/// What libmillrace_cuda.so exports, and the program looks up by these names. Both must come from one build: what they
/// hand each other is C++.
///   std::uint64_t millrace_cuda_interface()
///   Device* millrace_open_cuda(const DeviceSettings& settings, std::string* reason)    a new device; or null, and why
///   there is none
using CudaInterface = std::uint64_t();
using OpenCuda = Device*(const DeviceSettings&, std::string*);
inline constexpr const char* kCudaInterfaceName = "millrace_cuda_interface";
inline constexpr const char* kOpenCudaName = "millrace_open_cuda";

/// Differs where a device's functions do, for which the first number counts, or what they take.
inline constexpr std::uint64_t kCudaInterface = [] {
  std::uint64_t all = 3;
  for (const std::uint64_t one :
       {std::variant_size_v<AnyKernel>, sizeof(AnyKernel), sizeof(Product), sizeof(AttentionCall),
        sizeof(AttentionGradient), sizeof(DeviceSettings), sizeof(std::string)})
    all = all * 8191 + one;
  return all;
}();

}  // namespace millrace
