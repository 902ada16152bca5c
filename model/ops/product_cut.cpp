#include "model/ops/product_cut.h"

#include <algorithm>

#include "model/parallel.h"

namespace millrace {
namespace {

/// Pieces: small enough for many threads, large enough to pay for packing the other operand.
constexpr Index kPieces = 16;
constexpr Index kSmallestPiece = 128;
constexpr Index kRegister = 16;  ///< Pieces are multiples of a vector register.
/// Operations at a time; a thread does 20 to 200 billion per second.
constexpr double kMostOperations = 0x1p34;
/// Fewer terms at a time would cost more in reading and writing the result than they save.
constexpr Index kFewestTerms = 8192;

/// The most of a multiple of `unit` that fit, at least one.
Index fitting(double most, Index unit) {
  return std::max(static_cast<Index>(most) / unit, Index{1}) * unit;
}

}  // namespace

ProductCut cut_of(Index longer, Index shorter, Index terms) {
  const auto operations = [](Index a, Index b) { return 2.0 * static_cast<double>(a) * static_cast<double>(b); };
  ProductCut cut{std::max(kSmallestPiece, range_count(range_count(longer, kPieces), kRegister) * kRegister), terms};
  const Index rows = std::min(cut.piece, longer);
  // First over the terms, where there are many: the other operand need not be packed more often then.
  if (const double most = kMostOperations / std::max(operations(rows, shorter), 1.0);
      most < static_cast<double>(terms) && terms > kFewestTerms)
    cut.inner = std::min(terms, std::max(kFewestTerms, fitting(most, kRegister)));
  if (const double most = kMostOperations / std::max(operations(cut.inner, shorter), 1.0);
      most < static_cast<double>(rows))
    cut.piece = std::min(cut.piece, fitting(most, kRegister));
  return cut;
}

}  // namespace millrace
