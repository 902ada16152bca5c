#pragma once

#include "model/device/product.h"

namespace millrace {

/// Products by plain loops, of f64, f32, and bf16 as f32 products of the same numbers; as SerialProduct. A number
/// of c is the sum of its terms in order, whatever the shape: cuts of rows and columns change no bits.
void loop_product(const Product& product);

}  // namespace millrace
