#include "model/cpu/product_pieces.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/property.h"

namespace millrace {
namespace {

using Ragged = Product::Ragged;
using Side = Product::Side;

struct NamedProduct {
  std::string name;
  Product product;
};

/// Not read: only shapes count.
float memory = 0;

Product dense(Index rows, Index columns, Index inner) {
  return {{&memory, Type::f32, rows, inner, inner},
          {&memory, Type::f32, inner, columns, columns},
          {&memory, Type::f32, rows, columns, columns}};
}

/// Every product of a step of OpenMoE-Base with 8 rows of 2048 positions: forward, dX and dW.
std::vector<NamedProduct> products_of_base(const std::vector<std::int32_t>& first) {
  constexpr Index kTokens = 8 * 2048, kHidden = 768, kFfn = 2048, kVocabulary = 256384, kChunk = 1024;
  std::vector<NamedProduct> all;
  const auto linear = [&](const std::string& name, Index rows, Index out, Index in) {
    all.push_back({name, dense(rows, out, in)});
    all.push_back({name + " dX", dense(rows, in, out)});
    all.push_back({name + " dW", dense(out, in, rows)});
  };
  linear("q|k|v", kTokens, 3 * kHidden, kHidden);
  linear("o", kTokens, kHidden, kHidden);
  linear("gate", kTokens, 2 * kFfn, kHidden);
  linear("up", kTokens, kFfn, kHidden);
  linear("down", kTokens, kHidden, kFfn);
  linear("router", kTokens, 16, kHidden);
  linear("head", kChunk, kVocabulary, kHidden);
  const auto experts = [&](const std::string& name, Index in, Index out) {
    const Index batch = static_cast<Index>(first.size()) - 1;
    const Index places = first.back();
    const auto ragged = [&](Tensor a, Tensor b, Tensor c, Side a_side, Ragged kind) {
      return Product{a, b, c, a_side, Side::plain, false, kind, first.data(), places};
    };
    const auto rows = [&](Index width) { return Tensor{&memory, Type::f32, places, width, width}; };
    const auto weights = [&](Index height, Index width) {
      return Tensor{&memory, Type::f32, height, width, width, batch, height * width};
    };
    all.push_back({name, ragged(rows(in), weights(in, out), rows(out), Side::plain, Ragged::rows)});
    all.push_back({name + " dX", ragged(rows(out), weights(out, in), rows(in), Side::plain, Ragged::rows)});
    all.push_back({name + " dW", ragged(rows(in), rows(out), weights(in, out), Side::transposed, Ragged::inner)});
  };
  experts("experts' gate", kHidden, 2 * kFfn);
  experts("experts' up", kHidden, kFfn);
  experts("experts' down", kFfn, kHidden);
  return all;
}

double work_of(const ProductPiece& piece) {
  return static_cast<double>(piece.rows) * static_cast<double>(piece.columns) * static_cast<double>(piece.terms);
}

/// Pieces are dealt out in consecutive runs, as OpenMP's static schedule does it.
TEST(ProductPieces, LeaveNoThreadOf16Or64WithoutWorkInAnyProductOfBaseAt8RowsOf2048) {
  std::vector<std::int32_t> first{0};
  for (int expert = 0; expert < 16; ++expert) first.push_back(first.back() + 1280 * 2 + 32 * (expert % 5 - 2));
  ProductPieces pieces;
  for (const auto& [name, product] : products_of_base(first)) {
    pieces.cut(product);
    for (const Index threads : {16, 64}) {
      std::vector<double> work(static_cast<std::size_t>(threads));
      const Index each = pieces.count() / threads;
      const Index more = pieces.count() % threads;
      Index next = 0;
      for (Index thread = 0; thread < threads; ++thread)
        for (Index i = 0; i < each + (thread < more ? 1 : 0); ++i)
          work[static_cast<std::size_t>(thread)] += work_of(pieces[next++]);
      ASSERT_EQ(next, pieces.count());
      const auto [least, largest] = std::minmax_element(work.begin(), work.end());
      EXPECT_GT(*least, 0.0) << name << " on " << threads;
      double all = 0;
      for (const double one : work) all += one;
      EXPECT_LT(*largest * static_cast<double>(threads), 1.7 * all) << name << " on " << threads;
    }
  }
}

TEST(ProductPieces, HaveAtMostSoManyTermsAtATimeAsTakeLessThanASecond) {
  ProductPieces pieces;
  const std::vector<std::int32_t> first{0, 32768};
  std::vector<NamedProduct> all = products_of_base(first);
  all.push_back({"8B's head", dense(4096, 256384, 4096)});
  for (const auto& [name, product] : all) {
    pieces.cut(product);
    for (Index i = 0; i < pieces.count(); ++i) {
      ProductPiece at_a_time = pieces[i];
      at_a_time.terms = std::min(at_a_time.terms, pieces.most_terms());
      EXPECT_LE(work_of(at_a_time), 0x1.1p32) << name;
    }
  }
}

TEST(ProductPieces, CoverEveryTermOfEveryNumberOnce) {
  expect_holds(200, [] {
    const auto side = [] {
      return *rc::gen::weightedOneOf<Index>(
          {{3, rc::gen::inRange<Index>(0, 90)}, {1, rc::gen::inRange<Index>(500, 20000)}});
    };
    const Index rows = side(), columns = side(), inner = side();
    ProductPieces pieces;
    pieces.cut(dense(rows, columns, inner));
    double work = 0;
    for (Index i = 0; i < pieces.count(); ++i) {
      const ProductPiece piece = pieces[i];
      RC_ASSERT(piece.rows > 0 && piece.columns > 0 && piece.terms >= 0);
      RC_ASSERT(piece.row + piece.rows <= rows && piece.column + piece.columns <= columns);
      RC_ASSERT(piece.term + piece.terms <= inner);
      work += work_of(piece);
      for (Index j = 0; pieces.count() <= 64 && j < i; ++j) {
        const ProductPiece other = pieces[j];
        const auto apart = [](Index a, Index a_count, Index b, Index b_count) {
          return a + a_count <= b || b + b_count <= a;
        };
        RC_ASSERT(apart(piece.row, piece.rows, other.row, other.rows) ||
                  apart(piece.column, piece.columns, other.column, other.columns) ||
                  apart(piece.term, piece.terms, other.term, other.terms));
      }
    }
    RC_ASSERT(work == static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(inner));
  });
}

}  // namespace
}  // namespace millrace
