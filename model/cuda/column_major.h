#pragma once

#include <compare>

#include "model/device/product.h"

namespace millrace {

/// A product as libraries of the BLAS's kind take it: matrices lie column by column, columns `*_stride` elements apart.
///   c (m, n) = op(a) (m, k)  op(b) (k, n)  [+ c],   of each matrix of a batch
/// Row-major matrices are their transposes to such a library, and c^T = b^T a^T: so the library's a is the product's b.
/// Two products with equal descriptions are the same work on other memory.
struct ColumnMajor {
  struct Factor {
    bool transposed = false;  ///< op
    Index stride = 0;
    Index batch_stride = 0;
    Index alignment = 0;  ///< Bytes, a power of two up to 256, that divides where each matrix of the batch begins.
    auto operator<=>(const Factor&) const = default;
  };

  Index m = 0, n = 0, k = 0, batch = 0;
  Factor a, b, c;
  Index added_alignment = 0;  ///< Of what is added, which is laid out as c.
  Type factors = Type::f32;   ///< Of a and b.
  Type result = Type::f32;    ///< Of c.
  bool add = false;
  auto operator<=>(const ColumnMajor&) const = default;

  Index a_rows() const { return a.transposed ? k : m; }  ///< As it lies in memory.
  Index a_columns() const { return a.transposed ? m : k; }
  Index b_rows() const { return b.transposed ? n : k; }
  Index b_columns() const { return b.transposed ? k : n; }
};

/// The library's a is product.b, and its b product.a. REQUIRES: check(product) is content, and nothing is ragged.
ColumnMajor column_major(const Product& product);

}  // namespace millrace
