#include "trainer/optimizer/adamw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "model/fixed_chunks.h"
#include "stages/errors.h"

namespace millrace {
namespace {

void expect(bool holds, const char* key, double value, const char* expected) {
  if (!holds) throw ConfigError(fmt::format("train.{} is {}, expected {}", key, value, expected));
}

/// The factors of one update, as floats, as it is computed.
struct Step {
  float beta1, beta2;
  float from_gradient, from_square;  ///< 1 - beta1, 1 - beta2
  float rate;                        ///< learning_rate / (1 - beta1^t)
  float root_scale;                  ///< 1 / sqrt(1 - beta2^t)
  float eps;
  float kept;  ///< 1 - learning_rate weight_decay
};

void update_range(const Step& step, const float* __restrict grad, float* __restrict m, float* __restrict v,
                  float* __restrict value, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    m[i] = step.beta1 * m[i] + step.from_gradient * grad[i];
    v[i] = step.beta2 * v[i] + step.from_square * (grad[i] * grad[i]);
    value[i] = step.kept * value[i] - step.rate * m[i] / (std::sqrt(v[i]) * step.root_scale + step.eps);
  }
}

/// Whether all values would be small enough after update_range, and the means finite. Writes nothing.
bool stays_finite(const Step& step, const float* grad, const float* m, const float* v, const float* value,
                  std::int64_t begin, std::int64_t end) {
  bool finite = true;
  for (std::int64_t i = begin; i < end; ++i) {
    const float next_m = step.beta1 * m[i] + step.from_gradient * grad[i];
    const float next_v = step.beta2 * v[i] + step.from_square * (grad[i] * grad[i]);
    const float next = step.kept * value[i] - step.rate * next_m / (std::sqrt(next_v) * step.root_scale + step.eps);
    // Comparisons with NaN are false.
    const bool fits = std::abs(next_m) <= std::numeric_limits<float>::max() &&
                      next_v <= std::numeric_limits<float>::max() && std::abs(next) <= kLargestWeight;
    finite = finite && fits;
  }
  return finite;
}

/// Sums of squares of values before an update, and of their change.
struct Squares {
  double values = 0;
  double change = 0;
};

/// As update_range, block by block, keeping each block's old values for the comparison.
Squares update_and_measure(const Step& step, const float* grad, float* m, float* v, float* value, std::int64_t begin,
                           std::int64_t end) {
  constexpr std::int64_t kBlock = 1024;
  std::array<float, kBlock> before{};
  Squares sums;
  for (std::int64_t first = begin; first < end; first += kBlock) {
    const std::int64_t count = std::min(kBlock, end - first);
    std::copy_n(value + first, count, before.begin());
    update_range(step, grad, m, v, value, first, first + count);
    const float* old = before.data();
    const float* now = value + first;
    sums.values += sum_of(0, count, [old](std::int64_t i) {
      const double x = old[i];
      return x * x;
    });
    sums.change += sum_of(0, count, [old, now](std::int64_t i) {
      const double x = now[i] - old[i];
      return x * x;
    });
  }
  return sums;
}

}  // namespace

AdamW::AdamW(const Parameters<float>& parameters, Settings settings) : settings_(settings) {
  expect(settings.beta1 >= 0 && settings.beta1 < 1, "beta1", settings.beta1, "a number from 0 to below 1");
  expect(settings.beta2 >= 0 && settings.beta2 < 1, "beta2", settings.beta2, "a number from 0 to below 1");
  expect(settings.eps > 0 && std::isfinite(settings.eps), "eps", settings.eps, "a number above 0");
  expect(settings.weight_decay >= 0 && std::isfinite(settings.weight_decay), "weight_decay", settings.weight_decay,
         "0 or more");
  for (const Parameter<float>& parameter : parameters.all) {
    const auto size = static_cast<std::size_t>(parameter.spec.size());
    slots_.push_back({parameter.spec.name, parameter.spec.shape, std::vector<float>(size), std::vector<float>(size)});
  }
}

UpdateNorms AdamW::update(Parameters<float>& parameters, double learning_rate) {
  if (parameters.all.size() != slots_.size()) throw std::logic_error("AdamW: other parameters than at the start");
  const auto t = static_cast<double>(steps_ + 1);
  const double decay = learning_rate * settings_.weight_decay;
  Step step{};
  step.beta1 = static_cast<float>(settings_.beta1);
  step.beta2 = static_cast<float>(settings_.beta2);
  step.from_gradient = static_cast<float>(1 - settings_.beta1);
  step.from_square = static_cast<float>(1 - settings_.beta2);
  step.rate = static_cast<float>(learning_rate / (1 - std::pow(settings_.beta1, t)));
  step.root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(settings_.beta2, t)));
  step.eps = static_cast<float>(settings_.eps);
  const auto kept_of = [decay](const Parameter<float>& parameter) {
    const bool is_vector = parameter.spec.shape.size() < 2;
    return is_vector ? 1.0F : static_cast<float>(1 - decay);
  };
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Parameter<float>& parameter = parameters.all[i];
    step.kept = kept_of(parameter);
    const Slot& slot = slots_[i];
    std::vector<std::uint8_t> finite(static_cast<std::size_t>((parameter.spec.size() + kChunk - 1) / kChunk));
    parallel_chunks(parameter.spec.size(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      finite[static_cast<std::size_t>(begin / kChunk)] =
          stays_finite(step, parameter.grad, slot.m.data(), slot.v.data(), parameter.value, begin, end) ? 1 : 0;
    });
    if (std::ranges::count(finite, 0) > 0) throw NotFiniteUpdate(parameter.spec.name);
  }
  ++steps_;
  Squares sums;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Parameter<float>& parameter = parameters.all[i];
    step.kept = kept_of(parameter);
    float* m = slots_[i].m.data();
    float* v = slots_[i].v.data();
    std::vector<Squares> chunks(static_cast<std::size_t>((parameter.spec.size() + kChunk - 1) / kChunk));
    parallel_chunks(parameter.spec.size(), kChunk, [&](std::int64_t begin, std::int64_t end) {
      chunks[static_cast<std::size_t>(begin / kChunk)] =
          update_and_measure(step, parameter.grad, m, v, parameter.value, begin, end);
    });
    for (const Squares& chunk : chunks) {
      sums.values += chunk.values;
      sums.change += chunk.change;
    }
  }
  return {std::sqrt(sums.values), std::sqrt(sums.change)};
}

std::vector<StateTensor> AdamW::state() {
  std::vector<StateTensor> tensors;
  for (Slot& slot : slots_) {
    tensors.push_back({slot.name + ".m", slot.shape, slot.m.data()});
    tensors.push_back({slot.name + ".v", slot.shape, slot.v.data()});
  }
  return tensors;
}

}  // namespace millrace
