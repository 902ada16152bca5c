#include "trainer/optimizer/make_optimizer.h"

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/optimizer/adafactor.h"
#include "trainer/optimizer/adamw.h"

namespace millrace {

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, const Parameters<float>& parameters) {
  if (config.optimizer == "adafactor") return std::make_unique<Adafactor>(parameters);
  if (config.optimizer == "adamw") {
    return std::make_unique<AdamW>(
        parameters,
        AdamW::Settings{
            .beta1 = config.beta1, .beta2 = config.beta2, .eps = config.eps, .weight_decay = config.weight_decay});
  }
  throw ConfigError(fmt::format("train.optimizer is \"{}\", expected \"adafactor\" or \"adamw\"", config.optimizer));
}

}  // namespace millrace
