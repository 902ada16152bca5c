#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/parameters/parameter_spec.h"

namespace millrace {

/// A number in [0, 1) that depends on its arguments only. tensor: place in parameter_specs(); element: row-major.
/// Called from several threads.
using UniformNumbers = std::function<double(std::uint64_t tensor, std::uint64_t element)>;

/// Draws values of a parameter by its initializer, from its element `first` on, on all OpenMP threads. Throws Stopped
/// (stop.h).
template <class Scalar>
void draw_values(const ParameterSpec& spec, std::uint64_t tensor, std::int64_t first, std::span<Scalar> values,
                 const UniformNumbers& uniform);

extern template void draw_values<float>(const ParameterSpec&, std::uint64_t, std::int64_t, std::span<float>,
                                        const UniformNumbers&);
extern template void draw_values<double>(const ParameterSpec&, std::uint64_t, std::int64_t, std::span<double>,
                                         const UniformNumbers&);

}  // namespace millrace
