#pragma once

#include <cstdint>

#include "model/matrix.h"

namespace millrace {

/// Rotary position embedding, half-split (x1 = first half of a head, x2 = second):
///   (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin),  angle_j = position * theta^(-2j/D)
template <class Scalar>
class Rope {
 public:
  Rope(int head_dim, double theta) : head_dim_(head_dim), theta_(theta) {}

  /// Computes the angles of positions 0 .. count-1. Call before turn(); not thread-safe.
  void reserve(std::int32_t count);
  /// Rotates every head of every row in place.   x: (N, heads * D)   position: (N), each < the reserved count
  void turn(View<Scalar> x, const std::int32_t* position) const { turn(x, position, Scalar{1}); }
  /// The inverse, which is also the transpose: what gradients need.
  void turn_back(View<Scalar> x, const std::int32_t* position) const { turn(x, position, Scalar{-1}); }

 private:
  void turn(View<Scalar> x, const std::int32_t* position, Scalar sign) const;

  int head_dim_;
  double theta_;
  Matrix<Scalar> cosine_;  ///< (positions, D/2)
  Matrix<Scalar> sine_;
};

extern template class Rope<float>;
extern template class Rope<double>;

}  // namespace millrace
