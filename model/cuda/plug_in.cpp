// What libmillrace_cuda.so exports: model/device/cuda_plug_in.h.
#include <exception>

#include "model/cuda/cuda_device.h"
#include "model/device/cuda_plug_in.h"

#define MILLRACE_EXPORT extern "C" __attribute__((visibility("default")))

namespace millrace {

MILLRACE_EXPORT CudaInterface millrace_cuda_interface;
MILLRACE_EXPORT OpenCuda millrace_open_cuda;

std::uint64_t millrace_cuda_interface() {
  return kCudaInterface;
}

Device* millrace_open_cuda(const DeviceSettings& settings, std::string* reason) {
  try {
    return new CudaDevice(settings);
  } catch (const std::exception& fault) {
    *reason = fault.what();
    return nullptr;
  }
}

}  // namespace millrace
