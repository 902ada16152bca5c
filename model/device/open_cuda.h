#pragma once

#include <memory>
#include <string>

#include "model/device/device.h"

namespace millrace {

/// Where the NVIDIA card's parts are. Libraries are looked for beside the program, and where the system has its own.
struct CudaParts {
  int major;  ///< Of the CUDA that the plug-in was built with; 0: it was not built.
  std::string driver = "libcuda.so.1";
  std::string plug_in = "libmillrace_cuda.so";

  CudaParts();  ///< As this program was built.
};

/// A device, or the reason why there is none.
struct OpenedCuda {
  std::unique_ptr<Device> device;
  std::string reason;  ///< "the NVIDIA driver is too old: ...", for a message; empty with a device.
};

/// Opens the first card that the driver shows (CUDA_VISIBLE_DEVICES chooses) through the plug-in, in f32 or bf16.
OpenedCuda open_cuda(const DeviceSettings& settings, const CudaParts& parts = {});

}  // namespace millrace
