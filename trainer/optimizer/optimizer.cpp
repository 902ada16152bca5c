#include "trainer/optimizer/optimizer.h"

#include <cmath>

#include "model/fixed_chunks.h"

namespace millrace {

std::int64_t StateTensor::size() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
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
