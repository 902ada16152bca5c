#pragma once

#include <string>
#include <vector>

#include "model/device/device.h"
#include "model/optimizer/optimizer.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// Which tensors hold numbers that are not finite, how many, and the position of the first: "tensor "model.norm.weight"
/// holds 1 number that is not finite: nan at element 5 of 32". At most five tensors are named, the others counted.
/// Empty: all numbers are finite. The device sums squares; only tensors in which that shows something are read to the
/// host, in pieces. Throws Stopped (model/stop.h) between tensors.
std::string not_finite_in(Device& device, const Parameters& parameters);
std::string not_finite_in(Device& device, const std::vector<StateTensor>& tensors);

}  // namespace millrace
