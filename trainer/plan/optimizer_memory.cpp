#include "trainer/plan/optimizer_memory.h"

#include <algorithm>
#include <vector>

#include "model/parameters/parameter_spec.h"
#include "trainer/optimizer/adafactor.h"

namespace millrace {

OptimizerMemory optimizer_memory(const TrainConfig& config, const ModelConfig& model) {
  OptimizerMemory memory;
  for (const ParameterSpec& spec : parameter_specs(model)) {
    if (config.optimizer == "adamw") {
      memory.state += 2 * static_cast<std::uint64_t>(spec.size()) * sizeof(float);
      continue;
    }
    const Adafactor::Sizes sizes = Adafactor::sizes_of(spec, Adafactor::Settings());
    memory.state += static_cast<std::uint64_t>(sizes.state) * sizeof(float);
    memory.scratch = std::max(memory.scratch, static_cast<std::uint64_t>(sizes.scratch));
  }
  if (config.optimizer == "adafactor") memory.scratch += memory.state;  // The planned update's means.
  return memory;
}

}  // namespace millrace
