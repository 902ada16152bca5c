#pragma once

#include <cstdint>

#include "model/matrix.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// y = x / sqrt(mean(x^2) + eps) * gain, zero where `real` is 0.   x, y: (N, H)   gain: (H)   real: (N), null: all 1
/// Forward keeps nothing: backward is given x again.
template <class Scalar>
class RmsNorm {
 public:
  RmsNorm(const Parameter<Scalar>& gain, double eps) : gain_(&gain), eps_(eps) {}

  void forward(View<const Scalar> x, const std::uint8_t* real, View<Scalar> y) const;
  /// Adds to gain's gradient and to dx. `scratch` is overwritten.
  void backward(View<const Scalar> dy, View<const Scalar> x, const std::uint8_t* real, Matrix<Scalar>& scratch,
                View<Scalar> dx) const;

 private:
  Scalar inverse_rms(const Scalar* x, Index count) const;

  const Parameter<Scalar>* gain_;
  double eps_;
};

extern template class RmsNorm<float>;
extern template class RmsNorm<double>;

}  // namespace millrace
