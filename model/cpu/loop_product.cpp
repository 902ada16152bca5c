#include "model/cpu/loop_product.h"

#include <algorithm>

#include "model/lanes/numbers.h"

namespace millrace {
namespace {

#if defined(__AVX512F__)
constexpr Index kVectorBytes = 64;
constexpr Index kTileRows = 8;
#elif defined(__AVX__)
constexpr Index kVectorBytes = 32;
constexpr Index kTileRows = 4;
#else
constexpr Index kVectorBytes = 16;
constexpr Index kTileRows = 4;
#endif
constexpr Index kTileVectors = 2;

/// What lies in the second-level cache at a time: kBlockRows x kBlockTerms of a, kBlockTerms x kBlockColumns of b, and
/// their sums. Multiples of a tile's sides.
constexpr Index kBlockRows = 192;
constexpr Index kBlockColumns = 256;
constexpr Index kBlockTerms = 256;

template <class Real>
constexpr Index kTileColumns = kTileVectors* kVectorBytes / static_cast<Index>(sizeof(Real));

/// A factor's numbers: of(outer, term), where outer is a row of a or a column of b.
template <class Stored>
struct Factor {
  const Stored* data;
  Index outer_step, term_step;
};

/// Packs a block of a factor into panels of kWidth outer places, term by term; zeros where it has less.
template <Index kWidth, class Real, class Stored>
void pack(const Factor<Stored>& factor, Index outer, Index outers, Index term, Index terms, Real* to) {
  for (Index panel = 0; panel < outers; panel += kWidth) {
    const Index width = std::min(kWidth, outers - panel);
    const Stored* from = factor.data + (outer + panel) * factor.outer_step + term * factor.term_step;
    if (factor.outer_step == 1) {
      for (Index k = 0; k < terms; ++k) {
        const Stored* row = from + k * factor.term_step;
        for (Index j = 0; j < width; ++j) to[k * kWidth + j] = value_of(row[j]);
        for (Index j = width; j < kWidth; ++j) to[k * kWidth + j] = 0;
      }
    } else {
      for (Index j = 0; j < width; ++j) {
        const Stored* column = from + j * factor.outer_step;
        for (Index k = 0; k < terms; ++k) to[k * kWidth + j] = value_of(column[k]);
      }
      for (Index j = width; j < kWidth; ++j)
        for (Index k = 0; k < terms; ++k) to[k * kWidth + j] = 0;
    }
    to += terms * kWidth;
  }
}

/// sums += a b for one tile of sums, which stays in registers.
template <class Real>
void add_tile(Index terms, const Real* a, const Real* b, Real* sums) {
  constexpr Index kNumbers = kVectorBytes / static_cast<Index>(sizeof(Real));
  typedef Real Vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(Real)), may_alias));  // NOLINT
  const auto at = [](auto* numbers, Index vector) -> auto& {
    return *reinterpret_cast<Vector*>(const_cast<Real*>(numbers) + vector * kNumbers);
  };
  Vector tile[kTileRows][kTileVectors];
#pragma GCC unroll 8
  for (Index i = 0; i < kTileRows; ++i)
#pragma GCC unroll 2
    for (Index v = 0; v < kTileVectors; ++v) tile[i][v] = at(sums, i * kTileVectors + v);
  for (Index k = 0; k < terms; ++k, a += kTileRows, b += kTileVectors * kNumbers) {
#pragma GCC unroll 8
    for (Index i = 0; i < kTileRows; ++i)
#pragma GCC unroll 2
      for (Index v = 0; v < kTileVectors; ++v) tile[i][v] += a[i] * at(b, v);
  }
#pragma GCC unroll 8
  for (Index i = 0; i < kTileRows; ++i)
#pragma GCC unroll 2
    for (Index v = 0; v < kTileVectors; ++v) at(sums, i * kTileVectors + v) = tile[i][v];
}

/// One thread's memory.
template <class Real>
struct LoopScratch {
  Matrix<Real> a{kBlockRows, kBlockTerms}, b{kBlockTerms, kBlockColumns}, sums{kBlockRows, kBlockColumns};
};

/// Writes a block of sums, which are stored tile by tile, to c.
template <class Real, class Result>
void write_block(const Real* sums, Index row, Index rows, Index column, Index columns, const Tensor& c, bool add) {
  constexpr Index kWidth = kTileColumns<Real>;
  for (Index j = 0; j < columns; j += kWidth) {
    const Index width = std::min(kWidth, columns - j);
    for (Index i = 0; i < rows; ++i, sums += kWidth) {
      Result* to = c.row<Result>(row + i) + column + j;
      if (add) {
        for (Index w = 0; w < width; ++w) to[w] = stored_as<Result>(value_of(to[w]) + sums[w]);
      } else {
        for (Index w = 0; w < width; ++w) to[w] = stored_as<Result>(sums[w]);
      }
    }
    sums += (kTileRows - rows % kTileRows) % kTileRows * kWidth;
  }
}

template <class Real, class Stored, class Result>
void block_product(const Product& product) {
  thread_local LoopScratch<Real> scratch;
  constexpr Index kWidth = kTileColumns<Real>;
  const auto factor = [](const Tensor& tensor, bool rows_are_outer) {
    return Factor<Stored>{tensor.row<const Stored>(0), rows_are_outer ? tensor.stride : 1,
                          rows_are_outer ? 1 : tensor.stride};
  };
  const auto a = factor(product.a, product.a_side == Product::Side::plain);
  const auto b = factor(product.b, product.b_side == Product::Side::transposed);
  const Index inner = product.a_side == Product::Side::plain ? product.a.columns : product.a.rows;
  for (Index row = 0; row < product.c.rows; row += kBlockRows) {
    const Index rows = std::min(kBlockRows, product.c.rows - row);
    for (Index column = 0; column < product.c.columns; column += kBlockColumns) {
      const Index columns = std::min(kBlockColumns, product.c.columns - column);
      scratch.sums.fill(0);
      for (Index term = 0; term < inner; term += kBlockTerms) {
        const Index terms = std::min(kBlockTerms, inner - term);
        pack<kTileRows>(a, row, rows, term, terms, scratch.a.data());
        pack<kWidth>(b, column, columns, term, terms, scratch.b.data());
        Real* tile = scratch.sums.data();
        for (Index j = 0; j < columns; j += kWidth)
          for (Index i = 0; i < rows; i += kTileRows, tile += kTileRows * kWidth)
            add_tile(terms, scratch.a.data() + i * terms, scratch.b.data() + j * terms, tile);
      }
      write_block<Real, Result>(scratch.sums.data(), row, rows, column, columns, product.c, product.add);
    }
  }
}

}  // namespace

void loop_product(const Product& product) {
  if (product.a.type == Type::f64) return block_product<double, double, double>(product);
  if (product.a.type == Type::f32) return block_product<float, float, float>(product);
  if (product.c.type == Type::bf16) return block_product<float, Bf16, Bf16>(product);
  block_product<float, Bf16, float>(product);
}

}  // namespace millrace
