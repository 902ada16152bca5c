#include "trainer/optimizer.h"

#include <cmath>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/adafactor.h"
#include "trainer/fixed_chunks.h"

namespace millrace {

std::int64_t StateTensor::size() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::unique_ptr<Optimizer> make_optimizer(const TrainConfig& config, const Parameters<float>& parameters) {
  if (config.optimizer == "adafactor") return std::make_unique<Adafactor>(parameters);
  throw ConfigError(fmt::format("train.optimizer is \"{}\", expected \"adafactor\"", config.optimizer));
}

double gradient_norm(const Parameters<float>& parameters) {
  double sum = 0;
  for (const Parameter<float>& parameter : parameters.all) {
    const float* grad = parameter.grad;
    sum += parallel_sum(parameter.spec.size(), [grad](std::int64_t i) {
      const double value = grad[i];
      return value * value;
    });
  }
  return std::sqrt(sum);
}

}  // namespace millrace
