#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "model/parameters/parameter.h"
#include "stages/philox.h"

namespace millrace {

/// Parameters of given shapes in plain memory.
struct Tensors {
  explicit Tensors(std::vector<ParameterSpec> specs) {
    for (ParameterSpec& spec : specs) {
      values.emplace_back(static_cast<std::size_t>(spec.size()));
      grads.emplace_back(static_cast<std::size_t>(spec.size()));
      views.all.push_back({std::move(spec), nullptr, nullptr});
    }
    point();
  }
  /// Points the views to this object's memory: call it on a copy.
  void point() {
    for (std::size_t i = 0; i < values.size(); ++i) {
      views.all[i].value = values[i].data();
      views.all[i].grad = grads[i].data();
    }
  }
  void draw(std::uint64_t seed, double value_scale, double grad_scale) {
    ItemRng rng(seed, Purpose::parameter_init, 0);
    for (auto& tensor : values)
      for (float& value : tensor) value = static_cast<float>(value_scale * rng.normal());
    draw_gradients(seed + 1, grad_scale);
  }
  void draw_gradients(std::uint64_t seed, double scale) {
    ItemRng rng(seed, Purpose::parameter_init, 1);
    for (auto& tensor : grads)
      for (float& grad : tensor) grad = static_cast<float>(scale * rng.normal());
  }

  std::vector<std::vector<float>> values, grads;
  Parameters<float> views;
};

inline std::vector<double> part(const std::vector<float>& all, std::size_t first, std::size_t count) {
  return {all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(first + count)};
}

inline ParameterSpec spec(std::string name, std::vector<std::int64_t> shape, bool per_expert = false) {
  return {std::move(name), std::move(shape), {}, per_expert};
}

}  // namespace millrace
