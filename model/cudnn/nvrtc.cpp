#include "model/cudnn/nvrtc.h"

#include <string>

#include <cuda_runtime_api.h>
#include <dlfcn.h>

namespace millrace {

void open_nvrtc_parts() {
  constexpr int kMajor = CUDART_VERSION / 1000;
  const std::string library = "libnvrtc.so." + std::to_string(kMajor);
  void* nvrtc = dlopen(library.c_str(), RTLD_NOW);
  if (nvrtc == nullptr) return;
  using Version = int(int* major, int* minor);
  auto* version = reinterpret_cast<Version*>(dlsym(nvrtc, "nvrtcVersion"));
  Dl_info found{};
  int major = 0;
  int minor = 0;
  if (version == nullptr || version(&major, &minor) != 0) return;
  if (dladdr(reinterpret_cast<void*>(version), &found) == 0) return;
  const std::string beside(found.dli_fname);
  const std::string folder = beside.substr(0, beside.rfind('/') + 1);
  const std::string part = folder + "libnvrtc-builtins.so." + std::to_string(major) + "." + std::to_string(minor);
  dlopen(part.c_str(), RTLD_NOW | RTLD_GLOBAL);
}

}  // namespace millrace
