#include "model/cpu/serial_product.h"

#include "model/bf16.h"
#include "model/cpu/loop_product.h"
#include "model/cpu/onednn_product.h"

namespace millrace {

SerialProduct serial_product(ProductSource source, Type factors) {
  if (source == ProductSource::onednn && factors == Type::f32) return onednn_product_f32;
  if (source == ProductSource::onednn && factors == Type::bf16 && processor_has_bf16()) return onednn_product_bf16;
  return loop_product;
}

}  // namespace millrace
