#pragma once

#include <cstddef>
#include <cstdint>

#include "model/host_device.h"
#include "model/matrix.h"

namespace millrace {

/// What a tensor holds.
enum class Type : std::uint8_t { f64, f32, bf16, i32, u8 };

constexpr std::size_t bytes_of(Type type) {
  switch (type) {
    case Type::f64:
      return 8;
    case Type::f32:
    case Type::i32:
      return 4;
    case Type::bf16:
      return 2;
    case Type::u8:
      return 1;
  }
  return 0;
}

/// Numbers in the memory of a device: `batch` row-major matrices of (rows, columns), rows `stride` elements apart, and
/// matrices `batch_stride`. A view: it owns nothing. Trivially copyable, so that kernels hold it by value.
struct Tensor {
  void* data = nullptr;
  Type type = Type::f32;
  Index rows = 0;
  Index columns = 0;
  Index stride = 0;
  Index batch = 1;
  Index batch_stride = 0;

  explicit operator bool() const { return data != nullptr; }
  Index size() const { return batch * rows * columns; }
  MILLRACE_HD Tensor row_range(Index first, Index count) const {
    Tensor part = *this;
    part.data = at(first * stride);
    part.rows = count;
    return part;
  }
  MILLRACE_HD Tensor column_range(Index first, Index count) const {
    Tensor part = *this;
    part.data = at(first);
    part.columns = count;
    return part;
  }
  /// One matrix of the batch.
  MILLRACE_HD Tensor entry(Index i) const {
    Tensor part = *this;
    part.data = at(i * batch_stride);
    part.batch = 1;
    return part;
  }

  /// Row i of the first matrix. REQUIRES: Value is what `type` says.
  template <class Value>
  MILLRACE_HD Value* row(Index i) const {
    return static_cast<Value*>(data) + i * stride;
  }

 private:
  MILLRACE_HD void* at(Index elements) const {
    return static_cast<std::byte*>(data) + static_cast<std::size_t>(elements) * bytes_of(type);
  }
};

}  // namespace millrace
