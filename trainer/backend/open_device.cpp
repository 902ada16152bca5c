#include "trainer/backend/open_device.h"

#include <utility>

#include <fmt/format.h>

#include "model/cpu/cpu_device.h"
#include "model/device/open_cuda.h"
#include "stages/errors.h"
#include "trainer/config/train_config.h"

namespace millrace {

std::unique_ptr<Device> open_device(const std::string& name, Precision precision, const std::string& where) {
  const std::string device = resolved_device(name);
  if (device == "cpu") return std::make_unique<CpuDevice>(precision);
  if (device != "cuda")
    throw ConfigError(fmt::format("{} is \"{}\", expected \"auto\", \"cpu\" or \"cuda\"", where, name));
  OpenedCuda opened = open_cuda(precision);
  if (!opened.device) throw ConfigError(fmt::format("{} is \"cuda\", but {}", where, opened.reason));
  return std::move(opened.device);
}

void refuse_what_it_cannot(const Device& device, const ModelConfig& model) {
  if (model.capacity_rule != CapacityRule::dropless || device.has_ragged_products()) return;
  throw ConfigError(
      fmt::format("capacity_rule is \"dropless\", which {} cannot compute yet: take \"flaxformer\" or \"colossalai\", "
                  "whose experts have fixed places, or the processor",
                  device.name()));
}

}  // namespace millrace
