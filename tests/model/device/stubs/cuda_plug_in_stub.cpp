// A plug-in that opens a device which only counts, for bf16 alone.
#include "model/device/counting_device.h"
#include "model/device/cuda_plug_in.h"

namespace millrace {

extern "C" std::uint64_t millrace_cuda_interface() {
  return kCudaInterface;
}

extern "C" Device* millrace_open_cuda(const DeviceSettings& settings, std::string* reason) {
  if (settings.precision == Precision::bf16) return new CountingDevice(settings.precision, false);
  *reason = "this card has no f32";
  return nullptr;
}

}  // namespace millrace
