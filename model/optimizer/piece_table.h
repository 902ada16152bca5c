#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "model/device/buffer.h"
#include "model/device/device.h"
#include "model/optimizer/owned_parts.h"
#include "model/tensor.h"

namespace millrace {

/// Numbers that kernels leave for each piece of rows of all parameters, (pieces, columns) f64, and the host's copy.
class PieceTable {
 public:
  /// With an exchange, read() brings what the other owners' kernels left.
  PieceTable(Device& device, Index pieces, Index columns, PartExchange* exchange = nullptr)
      : device_(device),
        exchange_(exchange),
        buffer_(device),
        host_(static_cast<std::size_t>(pieces * columns)),
        told_(exchange != nullptr ? host_.size() : 0) {
    buffer_.shaped(pieces, columns, Type::f64);
  }

  /// On the device.
  Tensor pieces(Index first, Index count) const { return buffer_.tensor().row_range(first, count); }
  Tensor pieces(PieceRange range) const { return pieces(range.first, range.count); }
  /// Copies the first columns, or all, to the host; waits.
  void read(Index columns) {
    device_.to_host(host_.data(), buffer_.tensor().data, host_.size() * sizeof(double));
    if (exchange_ != nullptr) exchange(static_cast<std::size_t>(columns));
  }
  void read() { read(buffer_.tensor().columns); }

  /// Of what was last read.
  double at(Index piece, Index column) const {
    return host_[static_cast<std::size_t>(piece * buffer_.tensor().columns + column)];
  }
  double sum(PieceRange range, Index column) const {
    double sum = 0;
    for (Index piece = range.first; piece < range.first + range.count; ++piece) sum += at(piece, column);
    return sum;
  }

 private:
  /// The columns that count are told without the others.
  void exchange(std::size_t columns) {
    const auto all = static_cast<std::size_t>(buffer_.tensor().columns);
    const std::size_t pieces = host_.size() / all;
    for (std::size_t piece = 0; piece < pieces; ++piece)
      for (std::size_t j = 0; j < columns; ++j) told_[piece * columns + j] = host_[piece * all + j];
    exchange_->complete({0, static_cast<Index>(pieces)}, std::span(told_).first(pieces * columns));
    for (std::size_t piece = 0; piece < pieces; ++piece)
      for (std::size_t j = 0; j < columns; ++j) host_[piece * all + j] = told_[piece * columns + j];
  }

  Device& device_;
  PartExchange* exchange_;
  Buffer buffer_;
  std::vector<double> host_;
  std::vector<double> told_;
};

}  // namespace millrace
