#include "model/cpu/serial_product.h"

#include "model/bf16.h"
#include "model/cpu/loop_product.h"
#include "model/cpu/onednn_product.h"

namespace millrace {

bool is_built_with_onednn() {
#ifdef MILLRACE_HAS_ONEDNN
  return true;
#else
  return false;
#endif
}

SerialProduct serial_product([[maybe_unused]] ProductSource source, [[maybe_unused]] Type factors) {
#ifdef MILLRACE_HAS_ONEDNN
  if (source == ProductSource::onednn && factors == Type::f32) return onednn_product_f32;
  if (source == ProductSource::onednn && factors == Type::bf16 && processor_has_bf16()) return onednn_product_bf16;
#endif
  return loop_product;
}

}  // namespace millrace
