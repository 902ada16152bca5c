#include "trainer/plan/optimizer_memory.h"

#include <memory>
#include <span>

#include "model/device/counting_device.h"
#include "model/optimizer/optimizer.h"
#include "model/parameters/parameter.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {

namespace {

/// Of owners that never meet.
class NoExchange : public PartExchange {
  void complete(PieceRange /*pieces*/, std::span<double> /*table*/) override {}
};

}  // namespace

OptimizerMemory optimizer_memory(const TrainConfig& config, const ModelConfig& model) {
  const std::vector<ParameterSpec> specs = parameter_specs(model);
  return optimizer_memory(config, specs, whole_parameters(specs));
}

/// One is made on a device that only counts. Values are in f32 in either precision of training.
OptimizerMemory optimizer_memory(const TrainConfig& config, const std::vector<ParameterSpec>& specs,
                                 const std::vector<ParameterPart>& parts) {
  CountingDevice device(Precision::f32, true);
  const ParameterMemory parameters(device, specs, ParameterMemory::Gradients::allocated);
  const std::uint64_t before = device.bytes();
  NoExchange exchange;
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(config, device, parameters.views(), {parts, &exchange});
  OptimizerMemory memory;
  for (const StateTensor& tensor : optimizer->state())
    memory.state += static_cast<std::uint64_t>(tensor.size()) * bytes_of(tensor.data.type);
  memory.scratch = device.bytes() - before - memory.state;
  return memory;
}

}  // namespace millrace
