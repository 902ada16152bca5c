#include "model/cuda/column_major.h"

#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/model/device/typed_numbers.h"
#include "tests/property.h"

namespace millrace {
namespace {

using test::TypedNumbers;
using Side = Product::Side;

const float* floats(const Tensor& tensor) {
  return static_cast<const float*>(tensor.data);
}

/// What a BLAS does with such a description: element (i, j) of a matrix lies at i + j * stride.
void multiply(const ColumnMajor& work, const float* a, const float* b, float* c) {
  const auto element = [](const ColumnMajor::Factor& factor, Index entry, Index i, Index j) {
    return entry * factor.batch_stride + (factor.transposed ? j + i * factor.stride : i + j * factor.stride);
  };
  for (Index entry = 0; entry < work.batch; ++entry) {
    for (Index i = 0; i < work.m; ++i) {
      for (Index j = 0; j < work.n; ++j) {
        float& sum = c[element(work.c, entry, i, j)];
        if (!work.add) sum = 0;
        for (Index k = 0; k < work.k; ++k) sum += a[element(work.a, entry, i, k)] * b[element(work.b, entry, k, j)];
      }
    }
  }
}

TEST(ColumnMajor, IsTheSameProductForAnySidesStridesAndBatches) {
  expect_holds(200, [] {
    const Index rows = *rc::gen::inRange<Index>(1, 9);
    const Index columns = *rc::gen::inRange<Index>(1, 9);
    const Index inner = *rc::gen::inRange<Index>(1, 9);
    const Index batch = *rc::gen::inRange<Index>(1, 4);
    const auto gap = [] { return *rc::gen::inRange<Index>(0, 4); };
    const auto a_side = *rc::gen::element(Side::plain, Side::transposed);
    const auto b_side = *rc::gen::element(Side::plain, Side::transposed);
    const bool a_plain = a_side == Side::plain;
    const bool b_plain = b_side == Side::plain;
    TypedNumbers a(Type::f32, a_plain ? rows : inner, a_plain ? inner : rows, batch, gap());
    TypedNumbers b(Type::f32, b_plain ? inner : columns, b_plain ? columns : inner, batch, gap());
    TypedNumbers c(Type::f32, rows, columns, batch, gap());
    TypedNumbers before(Type::f32, rows, columns, batch, c.tensor().stride - columns);
    a.fill(1);
    b.fill(2);
    c.fill(3);
    before.fill(3);
    Product product{a.tensor(), b.tensor(), c.tensor(), a_side, b_side, *rc::gen::arbitrary<bool>()};
    // A single row need not say how far the next one would be.
    if (*rc::gen::arbitrary<bool>())
      for (Tensor* tensor : {&product.a, &product.b, &product.c})
        if (tensor->rows == 1) tensor->stride = 0;
    check(product);
    const ColumnMajor work = column_major(product);
    RC_ASSERT(work.a.stride >= work.a_rows() && work.b.stride >= work.b_rows() && work.c.stride >= work.m);
    multiply(work, floats(product.b), floats(product.a), static_cast<float*>(product.c.data));
    for (Index entry = 0; entry < batch; ++entry) {
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < columns; ++j) {
          double sum = product.add ? before.get(i, j, entry) : 0;
          for (Index k = 0; k < inner; ++k)
            sum += (a_plain ? a.get(i, k, entry) : a.get(k, i, entry)) *
                   (b_plain ? b.get(k, j, entry) : b.get(j, k, entry));
          RC_ASSERT(std::abs(c.get(i, j, entry) - sum) < 1e-5);
        }
      }
    }
  });
}

TEST(ColumnMajor, NamesTheAlignmentThatEveryMatrixOfABatchHas) {
  alignas(256) static std::uint8_t memory[1024];
  const auto aligned = [](Index offset_bytes, Index batch, Index batch_stride) {
    const Tensor one{memory + offset_bytes, Type::bf16, 8, 8, 8, batch, batch_stride};
    return column_major({one, one, one}).c.alignment;
  };
  EXPECT_EQ(aligned(0, 1, 0), 256);
  EXPECT_EQ(aligned(512, 1, 3), 256) << "one matrix has no next one";
  EXPECT_EQ(aligned(6, 1, 0), 2);
  EXPECT_EQ(aligned(48, 1, 0), 16);
  EXPECT_EQ(aligned(0, 2, 64), 128);
  EXPECT_EQ(aligned(0, 2, 65), 2);
}

TEST(ColumnMajor, TellsProductsApartThatAreOtherWork) {
  alignas(256) static std::uint8_t memory[4096];
  const auto matrix = [](Type type, Index rows, Index columns) { return Tensor{memory, type, rows, columns, columns}; };
  const Product one{matrix(Type::bf16, 8, 8), matrix(Type::bf16, 8, 8), matrix(Type::f32, 8, 8)};
  EXPECT_EQ(column_major(one), column_major(one));
  Product other = one;
  other.add = true;
  EXPECT_NE(column_major(other), column_major(one));
  other = one;
  other.a_side = Side::transposed;
  EXPECT_NE(column_major(other), column_major(one));
  other = one;
  other.c.type = Type::bf16;
  EXPECT_NE(column_major(other), column_major(one));
  other = one;
  other.c.stride = 16;
  EXPECT_NE(column_major(other), column_major(one));
}

}  // namespace
}  // namespace millrace
