#pragma once

#include <span>
#include <vector>

#include "model/parameters/parameter.h"

namespace millrace {

/// The floats of a tensor that lies together in the processor's memory: a view, to be written to.
inline std::span<float> floats_of(const Tensor& tensor) {
  return {static_cast<float*>(tensor.data), static_cast<std::size_t>(tensor.size())};
}

/// Copies of all parameters' values, or gradients, one after another.
inline std::vector<float> all_floats(const Parameters& parameters, Tensor Parameter::*which = &Parameter::value) {
  std::vector<float> all;
  for (const Parameter& parameter : parameters.all) {
    const std::span<const float> floats = floats_of(parameter.*which);
    all.insert(all.end(), floats.begin(), floats.end());
  }
  return all;
}

}  // namespace millrace
