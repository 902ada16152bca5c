#pragma once

#include <cstdint>
#include <vector>

#include "model/bf16.h"
#include "model/tensor.h"
#include "tests/model/test_support.h"

namespace millrace::test {

/// Memory for a batch of matrices of any type of number, each row and each matrix followed by `gap` more numbers.
class TypedNumbers {
 public:
  TypedNumbers(Type type, Index rows, Index columns, Index batch = 1, Index gap = 0)
      : tensor_{nullptr, type, rows, columns, columns + gap, batch, rows * (columns + gap) + gap},
        memory_(static_cast<std::size_t>(batch * (rows * (columns + gap) + gap) + 1) * bytes_of(type)) {
    tensor_.data = memory_.data();
  }
  TypedNumbers(const TypedNumbers&) = delete;
  TypedNumbers& operator=(const TypedNumbers&) = delete;

  Tensor tensor() const { return tensor_; }
  const std::vector<std::uint8_t>& bytes() const { return memory_; }

  /// Random numbers in (-1, 1) everywhere, in the gaps too.
  TypedNumbers& fill(std::uint64_t seed, double scale = 1) {
    const auto count = static_cast<Index>(memory_.size() / bytes_of(tensor_.type));
    for (Index i = 0; i < count; ++i) set_at(i, scale * (2 * uniform(seed, static_cast<std::uint64_t>(i)) - 1));
    return *this;
  }
  double get(Index row, Index column, Index entry = 0) const {
    const Index i = place(row, column, entry);
    if (tensor_.type == Type::f64) return static_cast<const double*>(tensor_.data)[i];
    if (tensor_.type == Type::f32) return static_cast<double>(static_cast<const float*>(tensor_.data)[i]);
    return static_cast<double>(widened(static_cast<const Bf16*>(tensor_.data)[i]));
  }
  void set(Index row, Index column, double value, Index entry = 0) { set_at(place(row, column, entry), value); }

 private:
  Index place(Index row, Index column, Index entry) const {
    return entry * tensor_.batch_stride + row * tensor_.stride + column;
  }
  void set_at(Index i, double value) {
    if (tensor_.type == Type::f64) static_cast<double*>(tensor_.data)[i] = value;
    if (tensor_.type == Type::f32) static_cast<float*>(tensor_.data)[i] = static_cast<float>(value);
    if (tensor_.type == Type::bf16) static_cast<Bf16*>(tensor_.data)[i] = rounded(static_cast<float>(value));
  }

  Tensor tensor_;
  std::vector<std::uint8_t> memory_;
};

/// How far a result of `type` may be from the exact one, relative to the size of what was summed.
inline double tolerance_of(Type type) {
  return type == Type::f64 ? 1e-13 : (type == Type::f32 ? 2e-6 : 5e-3);
}

}  // namespace millrace::test
