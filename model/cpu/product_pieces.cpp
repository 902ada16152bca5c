#include "model/cpu/product_pieces.h"

#include <algorithm>
#include <stdexcept>

#include "model/parallel.h"

namespace millrace {
namespace {

/// A product has as many pieces as its longest side has kLengths, at most kPieces: cutting costs packing.
constexpr Index kLength = 256;
constexpr Index kPieces = 64;
/// Or more, so that a piece has at most so many terms: a second of plain loops.
constexpr double kMostWork = 0x1p32;
/// What a number of a costs for each cut across, beside one of b for each cut down: measured.
constexpr double kAcross = 2;
/// What a number of the result costs for each part of the terms, in numbers of a factor that are packed.
constexpr double kPartCost = 8;
/// Numbers of all parts of a result: 64 MiB.
constexpr double kMostParts = 0x1p24;
/// Sides of pieces are multiples of a vector register.
constexpr Index kRegister = 16;
/// The most rows and columns of a piece of a ragged product: oneDNN keeps its speed, and experts of a few hundred rows
/// are still several pieces.
constexpr Index kRaggedRows = 256;
constexpr Index kRaggedSide = 512;
/// oneDNN is fastest on so many terms; where their number varies, there are few different rests.
constexpr Index kTerms = 2048;
constexpr Index kRaggedTerms = 1024;

Index part_of(Index side, Index parts) {
  return std::max(range_count(range_count(side, parts), kRegister), Index{1}) * kRegister;
}

/// A side in equal pieces of at most kRaggedSide.
Index ragged_part(Index side) {
  return part_of(side, std::max(range_count(side, kRaggedSide), Index{1}));
}

}  // namespace

PieceCut piece_cut(Index rows, Index columns, Index inner) {
  const auto m = static_cast<double>(rows);
  const auto n = static_cast<double>(columns);
  const auto k = static_cast<double>(inner);
  const Index lengths = range_count(std::max({rows, columns, inner}), kLength);
  double most = 1;
  while (most < static_cast<double>(std::min(lengths, kPieces)) || most * kMostWork < m * n * k) most *= 2;

  // Of the cuts into powers of two, the one with most pieces, and then the cheapest.
  double best = 0;
  double least = 0;
  PieceCut cut;
  const auto fits = [](double pieces, double side) { return pieces == 1 || pieces * kRegister <= side; };
  for (double down = 1; down <= most && fits(down, m); down *= 2) {
    for (double across = 1; down * across <= most && fits(across, n); across *= 2) {
      for (double parts = 1; down * across * parts <= most && fits(parts, k); parts *= 2) {
        if (parts > 1 && parts * m * n > kMostParts) break;
        const double pieces = down * across * parts;
        const double cost = k * (kAcross * m * across + n * down) + (parts > 1 ? kPartCost * m * n * parts : 0);
        if (pieces < best || (pieces == best && cost >= least)) continue;
        best = pieces;
        least = cost;
        cut = {part_of(rows, static_cast<Index>(down)), part_of(columns, static_cast<Index>(across)),
               static_cast<Index>(parts)};
      }
    }
  }
  return cut;
}

ProductPieces::Sides ProductPieces::sides_of(Index entry) const {
  const bool plain = product_.a_side == Product::Side::plain;
  Sides sides{product_.c.rows, product_.c.columns, plain ? product_.a.columns : product_.a.rows};
  if (product_.ragged == Product::Ragged::none) return sides;
  Index& varying = product_.ragged == Product::Ragged::rows ? sides.rows : sides.inner;
  const Index begin = product_.first[entry];
  const Index end = product_.first[entry + 1];
  if (begin < 0 || end < begin || end > varying || end - begin > product_.most_rows)
    throw std::logic_error("places " + std::to_string(begin) + " to " + std::to_string(end) + " of at most " +
                           std::to_string(product_.most_rows) + " in " + shape_of(product_));
  varying = end - begin;
  return sides;
}

void ProductPieces::cut(const Product& product) {
  product_ = product;
  const Index batch = batch_of(product);
  ends_.resize(static_cast<std::size_t>(batch));
  const Sides whole{product.c.rows, product.c.columns,
                    product.a_side == Product::Side::plain ? product.a.columns : product.a.rows};
  switch (product.ragged) {
    case Product::Ragged::none:
      cut_ = piece_cut(whole.rows, whole.columns, whole.inner);
      break;
    case Product::Ragged::rows:
      cut_ = {kRaggedRows, ragged_part(whole.columns), 1};
      break;
    case Product::Ragged::inner:
      cut_ = {ragged_part(whole.rows), ragged_part(whole.columns), 1};
      break;
  }
  Index pieces = 0;
  for (Index entry = 0; entry < batch; ++entry) {
    const Sides sides = sides_of(entry);
    pieces += range_count(sides.rows, cut_.rows) * range_count(sides.columns, cut_.columns) * cut_.parts;
    ends_[static_cast<std::size_t>(entry)] = pieces;
  }
}

Index ProductPieces::most_terms() const {
  return product_.ragged == Product::Ragged::inner ? kRaggedTerms : kTerms;
}

ProductPiece ProductPieces::operator[](Index i) const {
  const auto found = std::upper_bound(ends_.begin(), ends_.end(), i);
  ProductPiece piece;
  piece.entry = found - ends_.begin();
  if (piece.entry > 0) i -= ends_[static_cast<std::size_t>(piece.entry - 1)];
  const Sides sides = sides_of(piece.entry);
  const Index down = range_count(sides.rows, cut_.rows);
  piece.row = i % down * cut_.rows;
  piece.rows = std::min(cut_.rows, sides.rows - piece.row);
  i /= down;
  const Index across = range_count(sides.columns, cut_.columns);
  piece.column = i % across * cut_.columns;
  piece.columns = std::min(cut_.columns, sides.columns - piece.column);
  piece.part = i / across;
  const Index terms = part_of(sides.inner, cut_.parts);
  piece.term = std::min(piece.part * terms, sides.inner);
  piece.terms = std::min(terms, sides.inner - piece.term);
  return piece;
}

Product ProductPieces::window(const ProductPiece& piece, Index first, Index count) const {
  const bool ragged_rows = product_.ragged == Product::Ragged::rows;
  const bool ragged_inner = product_.ragged == Product::Ragged::inner;
  const Index begin = product_.first == nullptr ? 0 : product_.first[piece.entry];
  const Index row = piece.row + (ragged_rows ? begin : 0);
  const Index term = piece.term + first + (ragged_inner ? begin : 0);
  Product one = product_;
  one.ragged = Product::Ragged::none;
  one.first = nullptr;
  one.a = product_.a.entry(product_.a.batch > 1 ? piece.entry : 0);
  one.a = product_.a_side == Product::Side::plain ? one.a.row_range(row, piece.rows).column_range(term, count)
                                                  : one.a.row_range(term, count).column_range(piece.row, piece.rows);
  one.b = product_.b.entry(product_.b.batch > 1 ? piece.entry : 0);
  one.b = product_.b_side == Product::Side::plain
              ? one.b.row_range(term, count).column_range(piece.column, piece.columns)
              : one.b.row_range(piece.column, piece.columns).column_range(term, count);
  one.c = product_.c.entry(product_.c.batch > 1 ? piece.entry : 0);
  one.c = one.c.row_range(row, piece.rows).column_range(piece.column, piece.columns);
  return one;
}

}  // namespace millrace
