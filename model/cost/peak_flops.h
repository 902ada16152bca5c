#pragma once

#include "model/bf16.h"

namespace millrace {

/// Operations a second of oneDNN's own matmul primitive on all OpenMP threads, as it parallelises itself, best of the
/// square products that fit into `seconds` (three at least): what this machine could reach. A product of side N takes
/// 2 N^3 operations.
double product_rate(Precision precision, int side, double seconds);

}  // namespace millrace
