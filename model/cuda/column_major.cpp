#include "model/cuda/column_major.h"

#include <algorithm>
#include <cstdint>

namespace millrace {
namespace {

ColumnMajor::Factor described(const Tensor& tensor, Product::Side side) {
  const auto bytes = static_cast<Index>(bytes_of(tensor.type));
  const Index batch_stride = tensor.batch > 1 ? tensor.batch_stride : 0;
  constexpr std::uintptr_t kMostAlignment = 256;
  const std::uintptr_t starts = reinterpret_cast<std::uintptr_t>(tensor.data) |
                                static_cast<std::uintptr_t>(batch_stride * bytes) | kMostAlignment;
  // A single row may have any stride, of which libraries want one of a row at least.
  const Index stride = tensor.rows > 1 ? tensor.stride : tensor.columns;
  return {side == Product::Side::transposed, std::max(stride, Index{1}), batch_stride,
          static_cast<Index>(starts & (~starts + 1))};
}

}  // namespace

ColumnMajor column_major(const Product& product) {
  ColumnMajor turned;
  turned.m = product.c.columns;
  turned.n = product.c.rows;
  turned.k = product.a_side == Product::Side::plain ? product.a.columns : product.a.rows;
  turned.batch = product.c.batch;
  turned.a = described(product.b, product.b_side);
  turned.b = described(product.a, product.a_side);
  turned.c = described(product.c, Product::Side::plain);
  turned.factors = product.a.type;
  turned.result = product.c.type;
  turned.add = product.add;
  turned.added_alignment = turned.c.alignment;
  if (product.added != nullptr) {
    Tensor added = product.c;
    added.data = const_cast<void*>(product.added);
    turned.added_alignment = described(added, Product::Side::plain).alignment;
  }
  return turned;
}

}  // namespace millrace
