#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "model/device/buffer.h"
#include "model/device/device.h"
#include "model/tensor.h"

namespace millrace {

/// Numbers that kernels leave for each piece of rows of all parameters, (pieces, columns) f64, and the host's copy.
class PieceTable {
 public:
  PieceTable(Device& device, Index pieces, Index columns)
      : device_(device), buffer_(device), host_(static_cast<std::size_t>(pieces * columns)) {
    buffer_.shaped(pieces, columns, Type::f64);
  }

  /// On the device.
  Tensor pieces(Index first, Index count) const { return buffer_.tensor().row_range(first, count); }
  /// Copies all to the host; waits.
  void read() { device_.to_host(host_.data(), buffer_.tensor().data, host_.size() * sizeof(double)); }

  /// Of what was last read.
  double at(Index piece, Index column) const {
    return host_[static_cast<std::size_t>(piece * buffer_.tensor().columns + column)];
  }
  double sum(Index first, Index count, Index column) const {
    double sum = 0;
    for (Index piece = first; piece < first + count; ++piece) sum += at(piece, column);
    return sum;
  }

 private:
  Device& device_;
  Buffer buffer_;
  std::vector<double> host_;
};

}  // namespace millrace
