#pragma once

#include <vector>

#include "model/device/product.h"

namespace millrace {

/// How a product is cut for many threads: pieces of c of (rows, columns), the last ones smaller, each once for each of
/// `parts` parts of the terms.
struct PieceCut {
  Index rows = 0;
  Index columns = 0;
  Index parts = 1;
};

/// A function of the sides alone: 64 pieces, or more if those took longer than a second; fewer if there is little to
/// do. Of the ways to do so, the one that reads, writes and packs least.
PieceCut piece_cut(Index rows, Index columns, Index inner);

/// A piece of one of a product's matrices, and some of its terms.
struct ProductPiece {
  Index entry = 0;
  Index row = 0, rows = 0;
  Index column = 0, columns = 0;
  Index part = 0;
  Index term = 0, terms = 0;
};

/// The pieces of a product, of all its matrices. Each matrix is cut as if it were alone.
class ProductPieces {
 public:
  /// Cuts another product; keeps the memory. Throws std::logic_error if ragged places lie outside of what is cut, or
  /// are more than said.
  void cut(const Product& product);

  Index count() const { return ends_.empty() ? 0 : ends_.back(); }
  Index parts() const { return cut_.parts; }
  /// Terms of a piece that should be summed at a time.
  Index most_terms() const;
  ProductPiece operator[](Index i) const;
  /// The product of one piece, with the terms [first, first + count) of the piece's: a window of the whole.
  Product window(const ProductPiece& piece, Index first, Index count) const;

 private:
  /// Sides of the product of one entry.
  struct Sides {
    Index rows, columns, inner;
  };
  Sides sides_of(Index entry) const;

  Product product_;
  PieceCut cut_;
  std::vector<Index> ends_;  ///< Of each entry's pieces.
};

}  // namespace millrace
