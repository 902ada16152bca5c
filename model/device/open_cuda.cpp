#include "model/device/open_cuda.h"

#include <dlfcn.h>

#include "model/device/cuda_driver.h"
#include "model/device/cuda_plug_in.h"

namespace millrace {

CudaParts::CudaParts() : major(MILLRACE_CUDA_MAJOR) {}

OpenedCuda open_cuda(const DeviceSettings& settings, const CudaParts& parts) {
  OpenedCuda opened;
  if (parts.major == 0) {
    opened.reason = "this millrace was built without CUDA: run scripts/deps.sh cuda, then configure and build it again";
    return opened;
  }
  opened.reason = fault_of_cuda_driver(parts.driver, parts.major);
  if (!opened.reason.empty()) return opened;
  // Never closed: the device's code is in it.
  void* plug_in = dlopen(parts.plug_in.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (plug_in == nullptr) {
    opened.reason = std::string("the plug-in for NVIDIA cards does not open: ") + dlerror();
    return opened;
  }
  auto* interface_of = reinterpret_cast<CudaInterface*>(dlsym(plug_in, kCudaInterfaceName));
  auto* open = reinterpret_cast<OpenCuda*>(dlsym(plug_in, kOpenCudaName));
  if (interface_of == nullptr || open == nullptr || interface_of() != kCudaInterface) {
    opened.reason = parts.plug_in + " belongs to another build of millrace: build both, and keep them together";
    return opened;
  }
  opened.device.reset(open(settings, &opened.reason));
  return opened;
}

}  // namespace millrace
