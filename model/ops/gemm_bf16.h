#pragma once

#include "model/bf16.h"
#include "model/matrix.h"
#include "model/ops/operand.h"

namespace millrace {

/// c = a b or c += a b on the calling thread alone, from bf16 with f32 sums: oneDNN's matmul primitive. As
/// serial_matmul. Each thread keeps its primitives, by shape and strides, and their scratch memory: every new shape
/// costs a compilation, so pad sizes that vary. REQUIRES: an active parallel region, or one OpenMP thread;
/// processor_has_bf16() for speed.
void serial_bf16_product(View<const Bf16> a, Stored a_stored, View<const Bf16> b, Stored b_stored, View<float> c,
                         Into into);

}  // namespace millrace
