#include "model/device/cuda_driver.h"

#include <dlfcn.h>

namespace millrace {
namespace {

// Of the driver's interface in C (docs.nvidia.com/cuda/cuda-driver-api): 0 is success.
constexpr int kNoDevice = 100;
using Init = int(unsigned flags);
using GetVersion = int(int* version);  ///< 1000 major + 10 minor of the newest CUDA that it can run
using GetCount = int(int* count);
using GetErrorString = int(int error, const char** text);

template <class Function>
Function* function_of(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string error_text(void* library, int error) {
  const char* text = nullptr;
  auto* get = function_of<GetErrorString>(library, "cuGetErrorString");
  if (get == nullptr || get(error, &text) != 0 || text == nullptr) text = "no text";
  return "error " + std::to_string(error) + ", " + text;
}

}  // namespace

std::string fault_of_cuda_driver(const std::string& library, int cuda_major) {
  void* driver = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return std::string("no NVIDIA driver: ") + dlerror();
  auto* get_version = function_of<GetVersion>(driver, "cuDriverGetVersion");
  auto* init = function_of<Init>(driver, "cuInit");
  auto* get_count = function_of<GetCount>(driver, "cuDeviceGetCount");
  if (get_version == nullptr || init == nullptr || get_count == nullptr)
    return "no NVIDIA driver: " + library + " is there, but is none";
  int version = 0;
  if (const int error = get_version(&version); error != 0)
    return "the NVIDIA driver does not tell its version (" + error_text(driver, error) + ")";
  if (version < cuda_major * 1000)
    return "the NVIDIA driver is too old: it runs CUDA up to " + version_text(version) + ", and this millrace needs " +
           std::to_string(cuda_major) + ".0; install a newer driver";
  int cards = 0;
  int error = init(0);
  if (error == 0) error = get_count(&cards);
  if (error == kNoDevice || (error == 0 && cards == 0))
    return "the NVIDIA driver sees no card; CUDA_VISIBLE_DEVICES, if it is set, must name one";
  if (error != 0) return "the NVIDIA driver does not start (" + error_text(driver, error) + ")";
  return {};
}

}  // namespace millrace
