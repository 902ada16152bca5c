#include "model/device/open_cuda.h"
#include "trainer/config/train_config.h"

namespace millrace {

std::string resolved_device(const std::string& device) {
  if (device != "auto") return device;
  return open_cuda({}).device != nullptr ? "cuda" : "cpu";
}

}  // namespace millrace
