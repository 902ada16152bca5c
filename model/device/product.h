#pragma once

#include <cstdint>
#include <string>

#include "model/tensor.h"

namespace millrace {

/// A matrix product, or a batch of them:  c = a b,  or c = added + a b.   a: (M, K)  b: (K, N)  c: (M, N)
/// Sides may be stored transposed: `a` is then given as the (K, M) that lies in memory. f64: all three f64. Else a and
/// b are both f32, or both bf16; c is f32 or bf16, and sums are f32. c is bf16 only where nothing is added.
struct Product {
  enum class Side : bool { plain, transposed };
  /// A batch whose matrices are cut out of one, at places that are in memory: entry i has rows first[i] .. first[i + 1]
  /// - 1 of what is cut, which may be none.
  enum class Ragged : std::uint8_t {
    none,
    rows,   ///< Of a and c: M varies.
    inner,  ///< Of a and b, which are both stored (K, ...): K varies.
  };

  Tensor a, b, c;
  Side a_side = Side::plain;
  Side b_side = Side::plain;
  bool add = false;
  Ragged ragged = Ragged::none;
  const std::int32_t* first = nullptr;  ///< (batch + 1), in the device's memory.
  Index most_rows = 0;                  ///< With Ragged: no entry has more.
  const void* added = nullptr;          ///< With `add`, and nothing ragged: laid out as c; null: c itself.
};

/// What is added to a product; null: nothing.
inline const void* added_to(const Product& product) {
  return !product.add || product.added != nullptr ? product.added : product.c.data;
}

/// How many matrices c, or the cut c, is made of.
Index batch_of(const Product& product);
/// "(M, K) (K, N) into (M, N), batch 16": for complaints.
std::string shape_of(const Product& product);
/// Throws std::logic_error, with the shapes, if they or the types do not fit.
void check(const Product& product);

}  // namespace millrace
