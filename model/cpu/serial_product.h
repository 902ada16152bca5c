#pragma once

#include "model/device/product.h"

namespace millrace {

/// Where a CpuDevice's products come from.
enum class ProductSource : std::uint8_t {
  onednn,  ///< f32, and bf16 with f32 sums where the processor has instructions for it; f64 takes the loops, and so
           ///< does all in a program that was built without oneDNN.
  loops,   ///< Plain loops: any precision, on any processor; bf16 as f32 products of rounded numbers.
};

/// One product, of one matrix that is not ragged, on the calling thread alone: for use inside a parallel region. Shapes
/// are not checked, K > 0, and c is of the factors' type, or f32.
using SerialProduct = void (*)(const Product& product);

bool is_built_with_onednn();

/// What computes products of such factors.
SerialProduct serial_product(ProductSource source, Type factors);

}  // namespace millrace
