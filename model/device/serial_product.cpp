#include "model/device/serial_product.h"

#include "model/bf16.h"
#include "model/device/loop_product.h"
#include "model/device/onednn_product.h"

namespace millrace {

SerialProduct serial_product(ProductSource source, Type factors) {
  if (source == ProductSource::onednn && factors == Type::f32) return onednn_product_f32;
  if (source == ProductSource::onednn && factors == Type::bf16 && processor_has_bf16()) return onednn_product_bf16;
  return loop_product;
}

}  // namespace millrace
