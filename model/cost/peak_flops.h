#pragma once

#include "model/bf16.h"
#include "model/device/device.h"

namespace millrace {

/// Operations a second of oneDNN's own matmul primitive on all OpenMP threads, as it parallelises itself, the best of
/// as many square products as fit into `seconds` (at least three): the peak that this machine can reach. A product of
/// side N takes 2 N^3 operations. Without oneDNN: of the processor's own products.
double product_rate(Precision precision, int side, double seconds);

/// The same of a device's own products, the best of five.
double product_rate(Device& device, Index side);

}  // namespace millrace
