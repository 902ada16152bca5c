#include "model/optimizer/finite.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "model/device/read_numbers.h"
#include "model/kernels/row_pieces.h"
#include "model/optimizer/piece_table.h"
#include "model/stop.h"

namespace millrace {
namespace {

constexpr std::size_t kMostNamed = 5;

/// A sum of squares of floats cannot overflow a double, so it is finite if they all are.
bool sum_is_finite(Device& device, const Tensor& numbers) {
  const RowPieces pieces = RowPieces::of(numbers.rows, numbers.columns);
  const Index blocks = numbers.batch * pieces.pieces;
  PieceTable table(device, blocks, 1);
  device.run(SumSquares{numbers, pieces, table.pieces(0, blocks)}, blocks);
  table.read();
  return std::isfinite(table.sum({0, blocks}, 0));
}

/// The numbers of a tensor that are not finite.
struct Bad {
  Index count = 0;
  Index first = 0;
  double number = 0;
};

Bad bad_in(Device& device, const Tensor& numbers) {
  constexpr Index kPiece = 1 << 20;
  const Tensor all{numbers.data, numbers.type, 1, numbers.size(), numbers.size()};
  std::vector<double> piece;
  Bad bad;
  for (Index first = 0; first < all.columns; first += kPiece) {
    piece.resize(static_cast<std::size_t>(std::min(kPiece, all.columns - first)));
    read_numbers(device, all.column_range(first, static_cast<Index>(piece.size())), piece);
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (std::isfinite(piece[i])) continue;
      if (bad.count++ > 0) continue;
      bad.first = first + static_cast<Index>(i);
      bad.number = piece[i];
    }
  }
  return bad;
}

std::string text_of(const std::string& name, const Bad& bad, Index size) {
  const std::string count = bad.count == 1 ? "1 number that is" : std::to_string(bad.count) + " numbers that are";
  const char* number = std::isnan(bad.number) ? "nan" : (bad.number > 0 ? "inf" : "-inf");
  return "tensor \"" + name + "\" holds " + count + " not finite: " + number + " at element " +
         std::to_string(bad.first) + " of " + std::to_string(size);
}

/// Collects the tensors for the message.
class Found {
 public:
  explicit Found(Device& device) : device_(device) {}

  void look_at(const std::string& name, const Tensor& numbers) {
    throw_if_stopped();
    if (sum_is_finite(device_, numbers)) return;
    const Bad bad = bad_in(device_, numbers);
    if (bad.count == 0 || ++tensors_ > kMostNamed) return;
    text_ += (text_.empty() ? "" : "; ") + text_of(name, bad, numbers.size());
  }
  std::string text() const {
    return tensors_ > kMostNamed ? text_ + "; and " + std::to_string(tensors_ - kMostNamed) + " more tensors" : text_;
  }

 private:
  Device& device_;
  std::size_t tensors_ = 0;
  std::string text_;
};

}  // namespace

std::string not_finite_in(Device& device, const Parameters& parameters) {
  Found found(device);
  for (const Parameter& parameter : parameters.all) found.look_at(parameter.spec.name, parameter.value);
  return found.text();
}

std::string not_finite_in(Device& device, const std::vector<StateTensor>& tensors) {
  Found found(device);
  for (const StateTensor& tensor : tensors) found.look_at(tensor.name, tensor.data);
  return found.text();
}

}  // namespace millrace
