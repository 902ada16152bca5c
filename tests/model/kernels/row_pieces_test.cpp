#include "model/kernels/row_pieces.h"

#include <vector>

#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "model/device/buffer.h"
#include "tests/model/test_support.h"
#include "tests/property.h"

namespace millrace {
namespace {

TEST(RowPieces, HoldEveryRowOfEveryMatrixOnceInOrder) {
  expect_holds(200, [] {
    const Index rows = *rc::gen::inRange<Index>(1, 3000);
    const Index columns = *rc::gen::inRange<Index>(1, 20000);
    const Index matrices = *rc::gen::inRange<Index>(1, 4);
    const RowPieces pieces = RowPieces::of(rows, columns);
    RC_ASSERT(pieces.pieces <= RowPieces::kMost);
    Index next = 0;
    for (Index block = 0; block < matrices * pieces.pieces; ++block) {
      const RowPieces::Piece piece = pieces.at(block);
      RC_ASSERT(piece.matrix * rows + piece.first == next);
      RC_ASSERT(piece.count >= 1);
      next += piece.count;
    }
    RC_ASSERT(next == matrices * rows);
  });
}

TEST(RowPieces, AreOfUseToThreadsOnlyWhereThereIsEnoughToDo) {
  expect_holds(200, [] {
    const Index rows = *rc::gen::inRange<Index>(1, 3000);
    const Index columns = *rc::gen::inRange<Index>(1, 3000);
    const RowPieces pieces = RowPieces::of(rows, columns);
    RC_ASSERT(pieces.pieces == 1 || pieces.piece_rows * columns >= RowPieces::kLeastElements);
  });
}

/// Whoever holds some pieces of a matrix alone makes the same sums of them.
TEST(SumSquares, OfAPieceDoesNotDependOnWhatStandsBesideIt) {
  constexpr Index kRows = 700;
  constexpr Index kColumns = 131;
  Matrix<float> numbers = test::random_matrix<float>(kRows, kColumns, 3);
  const Tensor whole = test::tensor_over(numbers);
  const RowPieces pieces = RowPieces::of(kRows, kColumns);
  ASSERT_GT(pieces.pieces, 3);
  CpuDevice device(Precision::f32);
  const auto sums_of = [&](const Tensor& x, const RowPieces& cut) {
    std::vector<double> sums(static_cast<std::size_t>(cut.pieces));
    device.run(SumSquares{x, cut, {sums.data(), Type::f64, cut.pieces, 1, 1}}, cut.pieces);
    return sums;
  };
  const std::vector<double> all = sums_of(whole, pieces);
  const Index first = pieces.at(1).first;
  const Index count = 2 * pieces.piece_rows;
  const std::vector<double> some = sums_of(whole.row_range(first, count), {count, pieces.piece_rows, 2});
  EXPECT_EQ(some, std::vector<double>(all.begin() + 1, all.begin() + 3));
}

}  // namespace
}  // namespace millrace
