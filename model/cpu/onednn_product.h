#pragma once

#include "model/device/product.h"

namespace millrace {

/// Products by oneDNN; as SerialProduct. REQUIRES: an active parallel region, or one OpenMP thread.
void onednn_product_f32(const Product& product);

/// bf16 factors with f32 sums, rounded once if c is bf16. Each thread keeps its compiled products, by shape and
/// strides, and their scratch memory: every new shape costs a compilation, so the shapes should be few.
void onednn_product_bf16(const Product& product);

}  // namespace millrace
