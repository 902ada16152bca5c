#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/parameters/parameter.h"
#include "trainer/optimizer/optimizer.h"

namespace millrace {

/// Which tensors hold numbers that are not finite, how many, and the position of the first: "tensor "model.norm.weight"
/// holds 1 number that is not finite: nan at element 5 of 32". At most five tensors are named, the others counted.
/// Empty: all numbers are finite. On all OpenMP threads; throws Stopped (model/stop.h) between tensors.
std::string not_finite_in(const Parameters<float>& parameters);
std::string not_finite_in(const std::vector<StateTensor>& tensors);

/// Whether all numbers are finite, on all OpenMP threads.
bool all_finite(std::span<const float> values);

}  // namespace millrace
