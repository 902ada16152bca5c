#include "trainer/backend/open_device.h"

#include <utility>

#include <fmt/format.h>

#include "model/cpu/cpu_device.h"
#include "model/device/open_cuda.h"
#include "stages/errors.h"

namespace millrace {

std::unique_ptr<Device> open_device(const std::string& name, const DeviceSettings& settings, const std::string& where) {
  const std::string device = resolved_device(name);
  if (device == "cpu") return std::make_unique<CpuDevice>(settings.precision);
  if (device != "cuda")
    throw ConfigError(fmt::format("{} is \"{}\", expected \"auto\", \"cpu\" or \"cuda\"", where, name));
  OpenedCuda opened = open_cuda(settings);
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

void refuse_what_it_cannot_train(Device& device, const ModelConfig& model, const TrainConfig& train, int length) {
  refuse_what_it_cannot(device, model);
  const std::string fault =
      device.fault_of_attend_backward(train.micro_rows, length, model.num_attention_heads, model.head_dim);
  if (!fault.empty()) throw ConfigError(fmt::format("{} cannot train this model: {}", device.name(), fault));
}

DeviceSettings device_settings(const TrainConfig& train) {
  return {precision_named(train.precision, "train.precision", train.device), train.deterministic};
}

}  // namespace millrace
