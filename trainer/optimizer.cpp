#include "trainer/optimizer.h"

#include <cmath>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/adafactor.h"
#include "trainer/adamw.h"
#include "trainer/fixed_chunks.h"

namespace millrace {

std::int64_t StateTensor::size() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

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

void scale_gradients(const Parameters<float>& parameters, double factor) {
  const auto scale = static_cast<float>(factor);
  for (const Parameter<float>& parameter : parameters.all) {
    float* grad = parameter.grad;
    parallel_chunks(parameter.spec.size(), kChunk, [grad, scale](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) grad[i] *= scale;
    });
  }
}

}  // namespace millrace
