#include "trainer/optimizer/make_optimizer.h"

#include <cmath>

#include <fmt/format.h>

#include "model/optimizer/adafactor.h"
#include "model/optimizer/adamw.h"
#include "stages/errors.h"

namespace millrace {
namespace {

void expect(bool holds, const char* key, double value, const char* expected) {
  if (!holds) throw ConfigError(fmt::format("train.{} is {}, expected {}", key, value, expected));
}

AdamW::Settings adamw_settings(const TrainConfig& config) {
  expect(config.beta1 >= 0 && config.beta1 < 1, "beta1", config.beta1, "a number from 0 to below 1");
  expect(config.beta2 >= 0 && config.beta2 < 1, "beta2", config.beta2, "a number from 0 to below 1");
  expect(config.eps > 0 && std::isfinite(config.eps), "eps", config.eps, "a number above 0");
  expect(config.weight_decay >= 0 && std::isfinite(config.weight_decay), "weight_decay", config.weight_decay,
         "0 or more");
  return {.beta1 = config.beta1, .beta2 = config.beta2, .eps = config.eps, .weight_decay = config.weight_decay};
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, Device& device, const Parameters& parameters) {
  return make_optimizer(config, device, parameters, {whole_parameters(specs_of(parameters)), nullptr});
}

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, Device& device, const Parameters& parameters,
                                          const OwnedParts& owned) {
  if (config.optimizer == "adafactor")
    return std::make_unique<Adafactor>(device, parameters, Adafactor::Settings(), owned);
  if (config.optimizer == "adamw") return std::make_unique<AdamW>(device, parameters, adamw_settings(config), owned);
  throw ConfigError(fmt::format("train.optimizer is \"{}\", expected \"adafactor\" or \"adamw\"", config.optimizer));
}

void change_settings(const TrainConfig& config, Optimizer& optimizer) {
  if (auto* adamw = dynamic_cast<AdamW*>(&optimizer)) adamw->set(adamw_settings(config));
}

}  // namespace millrace
