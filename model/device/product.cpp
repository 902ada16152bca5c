#include "model/device/product.h"

#include <stdexcept>
#include <utility>

namespace millrace {
namespace {

std::string sides(Index rows, Index columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

/// A factor as the product reads it.
Tensor turned(const Tensor& stored, Product::Side side) {
  Tensor read = stored;
  if (side == Product::Side::transposed) std::swap(read.rows, read.columns);
  return read;
}

bool has_memory(const Tensor& tensor) {
  return tensor.rows >= 0 && tensor.columns >= 0 && tensor.batch >= 0 &&
         (tensor.data != nullptr || tensor.size() == 0) && (tensor.rows <= 1 || tensor.stride >= tensor.columns);
}

bool types_fit(const Product& product) {
  const Type factors = product.a.type;
  if (product.b.type != factors) return false;
  if (factors == Type::f64) return product.c.type == Type::f64;
  if (factors != Type::f32 && factors != Type::bf16) return false;
  return product.c.type == Type::f32 || (product.c.type == Type::bf16 && !product.add);
}

bool batches_fit(const Product& product) {
  switch (product.ragged) {
    case Product::Ragged::none:
      return product.a.batch == product.c.batch && product.b.batch == product.c.batch;
    case Product::Ragged::rows:
      return product.a_side == Product::Side::plain && product.a.batch == 1 && product.c.batch == 1 &&
             product.first != nullptr && product.most_rows >= 0;
    case Product::Ragged::inner:
      return product.a_side == Product::Side::transposed && product.b_side == Product::Side::plain &&
             product.a.batch == 1 && product.b.batch == 1 && product.first != nullptr && product.most_rows >= 0;
  }
  return false;
}

const char* name_of(Type type) {
  switch (type) {
    case Type::f64:
      return "f64";
    case Type::f32:
      return "f32";
    case Type::bf16:
      return "bf16";
    case Type::i32:
      return "i32";
    case Type::u8:
      return "u8";
  }
  return "";
}

}  // namespace

Index batch_of(const Product& product) {
  return product.ragged == Product::Ragged::rows ? product.b.batch : product.c.batch;
}

std::string shape_of(const Product& product) {
  const Tensor a = turned(product.a, product.a_side);
  const Tensor b = turned(product.b, product.b_side);
  std::string text = sides(a.rows, a.columns) + " " + sides(b.rows, b.columns) + " into " +
                     sides(product.c.rows, product.c.columns) + ", batch " + std::to_string(batch_of(product));
  if (product.ragged == Product::Ragged::rows) text += " of ragged rows";
  if (product.ragged == Product::Ragged::inner) text += " of ragged terms";
  return text;
}

void check(const Product& product) {
  const Tensor a = turned(product.a, product.a_side);
  const Tensor b = turned(product.b, product.b_side);
  if (a.columns != b.rows || product.c.rows != a.rows || product.c.columns != b.columns || !batches_fit(product) ||
      (product.added != nullptr && (!product.add || product.ragged != Product::Ragged::none)) ||
      !has_memory(product.a) || !has_memory(product.b) || !has_memory(product.c))
    throw std::logic_error("no product has such sides: " + shape_of(product));
  if (!types_fit(product))
    throw std::logic_error("no product of " + shape_of(product) + " has the types " + name_of(product.a.type) + ", " +
                           name_of(product.b.type) + (product.add ? " added to " : " into ") + name_of(product.c.type));
}

}  // namespace millrace
