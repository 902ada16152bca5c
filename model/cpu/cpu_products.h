#pragma once

#include "model/cpu/product_pieces.h"
#include "model/cpu/serial_product.h"

namespace millrace {

/// Products on all OpenMP threads: fixed pieces, so that any number of threads gives the same bits, and an entry of a
/// batch has the same bits beside any others. Between pieces it checks for a stop request, and throws Stopped.
class CpuProducts {
 public:
  explicit CpuProducts(ProductSource source) : source_(source) {}
  void multiply(const Product& product);

 private:
  ProductSource source_;
  ProductPieces pieces_;
  Matrix<char> partial_;  ///< Sums of parts of the terms.
};

}  // namespace millrace
