#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace millrace {

using Index = std::int64_t;

/// Owns numbers, 64-byte aligned. reshape() keeps the memory if it suffices and leaves the contents undefined.
template <class Scalar>
class Matrix {
 public:
  Matrix() = default;
  Matrix(Index rows, Index columns) { reshape(rows, columns); }

  void reshape(Index rows, Index columns) {
    reserve(rows * columns);
    rows_ = rows;
    columns_ = columns;
  }
  /// Room for `count` numbers: reshape() allocates nothing up to that. Memory that is never written to takes no
  /// physical memory.
  void reserve(Index count) {
    if (count <= capacity_) return;
    capacity_ = count;
    const std::size_t bytes = (static_cast<std::size_t>(capacity_) * sizeof(Scalar) + 63) / 64 * 64;
    memory_.reset();
    memory_.reset(static_cast<Scalar*>(std::aligned_alloc(64, bytes)));
    if (memory_ == nullptr) throw std::bad_alloc();
  }
  void fill(Scalar value) { std::fill_n(memory_.get(), rows_ * columns_, value); }

  Index rows() const { return rows_; }
  Index columns() const { return columns_; }
  Scalar* data() { return memory_.get(); }
  const Scalar* data() const { return memory_.get(); }
  Scalar* row(Index i) { return memory_.get() + i * columns_; }
  const Scalar* row(Index i) const { return memory_.get() + i * columns_; }

 private:
  struct Free {
    void operator()(Scalar* memory) const { std::free(memory); }
  };
  std::unique_ptr<Scalar[], Free> memory_;
  Index capacity_ = 0;
  Index rows_ = 0;
  Index columns_ = 0;
};

}  // namespace millrace
