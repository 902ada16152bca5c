#include "model/device/few_rows.h"

#include "model/kernels/multiply_rows.h"

namespace millrace {

bool has_few_rows(const Product& product) {
  if (product.a_side != Product::Side::plain || product.a.type == Type::f64) return false;
  switch (product.ragged) {
    case Product::Ragged::none:
      return product.c.rows == 1 && product.c.batch == 1;
    case Product::Ragged::rows:
      return product.c.rows <= kMostFewRows;
    case Product::Ragged::inner:
      break;
  }
  return false;
}

void multiply_few_rows(Device& device, const Product& product) {
  const bool is_turned = product.b_side == Product::Side::transposed;
  device.run(MultiplyRows{product.a, product.b, product.c, product.first, is_turned, added_to(product)},
             product.c.rows * MultiplyRows::tiles(product.c.columns, is_turned));
}

}  // namespace millrace
