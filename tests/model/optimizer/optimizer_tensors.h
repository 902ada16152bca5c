#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/device/buffer.h"
#include "model/device/read_numbers.h"
#include "model/optimizer/adafactor.h"
#include "model/optimizer/adamw.h"
#include "model/parameters/normal_quantile.h"
#include "model/parameters/parameter.h"
#include "tests/model/test_support.h"

namespace millrace::test {

inline ParameterSpec spec(std::string name, std::vector<std::int64_t> shape, bool per_expert = false) {
  return {std::move(name), std::move(shape), {}, per_expert};
}

inline std::vector<double> numbers_of(Device& device, const Tensor& there) {
  std::vector<double> numbers(static_cast<std::size_t>(there.size()));
  read_numbers(device, there, numbers);
  return numbers;
}

/// Gives a tensor of the real type new numbers.
inline void put_all(Device& device, const Tensor& there, const std::vector<double>& numbers) {
  if (there.type == Type::f64) {
    device.to_device(there.data, numbers.data(), numbers.size() * sizeof(double));
    return;
  }
  const std::vector<float> floats(numbers.begin(), numbers.end());
  device.to_device(there.data, floats.data(), floats.size() * sizeof(float));
}

/// Changes one number and returns what it was.
inline double put(Device& device, const Tensor& there, std::size_t element, double number) {
  std::vector<double> numbers = numbers_of(device, there);
  const double old = std::exchange(numbers[element], number);
  put_all(device, there, numbers);
  return old;
}

/// Parameters of given shapes, with images of matrices in bf16, all 0 at first.
struct OptimizerTensors {
  OptimizerTensors(Device& device_, const std::vector<ParameterSpec>& specs) : device(device_) {
    for (const ParameterSpec& one : specs) {
      const auto cleared = [&](Type type) {
        const Tensor all = memory.emplace_back(device).shaped(1, one.size(), type);
        device.clear(all.data, static_cast<std::size_t>(all.size()) * bytes_of(type));
        return parameter_tensor(one, all.data, type);
      };
      const bool has_one = device.precision() == Precision::bf16 && has_image(one);
      const Tensor value = cleared(device.real());
      const Tensor gradient = cleared(device.real());
      views.all.push_back({one, value, gradient, has_one ? cleared(Type::bf16) : Tensor{}});
    }
  }

  void draw(std::uint64_t seed, double value_scale, double gradient_scale) {
    for (std::size_t i = 0; i < views.all.size(); ++i)
      put_all(device, views.all[i].value, drawn(seed, i, views.all[i].spec.size(), value_scale));
    draw_gradients(seed + 1, gradient_scale);
  }
  void draw_gradients(std::uint64_t seed, double scale) {
    for (std::size_t i = 0; i < views.all.size(); ++i)
      put_all(device, views.all[i].gradient, drawn(seed, i + 1000, views.all[i].spec.size(), scale));
  }
  std::vector<double> values(std::size_t i) const { return numbers_of(device, views.all.at(i).value); }
  std::vector<double> gradients(std::size_t i) const { return numbers_of(device, views.all.at(i).gradient); }
  std::vector<double> all_values() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < views.all.size(); ++i) {
      const std::vector<double> numbers = values(i);
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
  }

  Device& device;
  std::vector<Buffer> memory;
  Parameters views;

 private:
  static std::vector<double> drawn(std::uint64_t seed, std::size_t tensor, Index size, double scale) {
    std::vector<double> numbers(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<double>(scaled_normal_quantile(uniform(seed * 7919 + tensor, i) + 0x1p-54, scale));
    return numbers;
  }
};

inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline std::vector<double> part(const std::vector<double>& all, std::size_t first, std::size_t count) {
  return {all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(first + count)};
}

/// One tensor of each kind that an optimizer treats differently.
inline std::vector<ParameterSpec> kinds_of_tensors() {
  return {spec("gains", {40}), spec("small", {8, 50}), spec("large", {130, 140}), spec("experts", {3, 20, 30}, true)};
}

inline std::unique_ptr<Optimizer> optimizer_named(const std::string& name, Device& device,
                                                  const Parameters& parameters) {
  if (name == "adafactor") return std::make_unique<Adafactor>(device, parameters);
  return std::make_unique<AdamW>(device, parameters, AdamW::Settings());
}

/// As a step of training does it.
inline UpdateNorms step_of(Optimizer& optimizer, double learning_rate, double gradient_factor = 1) {
  optimizer.gradient_norm();
  return optimizer.update(learning_rate, gradient_factor);
}

/// All numbers of values and state.
inline std::vector<double> all_numbers(const OptimizerTensors& tensors, const Optimizer& optimizer) {
  std::vector<double> all = tensors.all_values();
  for (const StateTensor& state : optimizer.state()) {
    const std::vector<double> numbers = numbers_of(tensors.device, state.data);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

}  // namespace millrace::test
