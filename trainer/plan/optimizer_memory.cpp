#include "trainer/plan/optimizer_memory.h"

#include <memory>

#include "model/device/counting_device.h"
#include "model/optimizer/optimizer.h"
#include "model/parameters/parameter.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {

/// One is made on a device that only counts. Values are in f32 in either precision of training.
OptimizerMemory optimizer_memory(const TrainConfig& config, const ModelConfig& model) {
  CountingDevice device(Precision::f32, true);
  const ParameterMemory parameters(device, model, ParameterMemory::Gradients::allocated);
  const std::uint64_t before = device.bytes();
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(config, device, parameters.views());
  OptimizerMemory memory;
  for (const StateTensor& tensor : optimizer->state())
    memory.state += static_cast<std::uint64_t>(tensor.size()) * bytes_of(tensor.data.type);
  memory.scratch = device.bytes() - before - memory.state;
  return memory;
}

}  // namespace millrace
