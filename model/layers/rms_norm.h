#pragma once

#include "model/parameters/parameter.h"
#include "model/pass/pass.h"

namespace millrace {

/// x = h (mean(h^2) + eps)^-1/2 gain; 0 at padding.   h, x: (N, H)
class RmsNorm {
 public:
  RmsNorm(const Parameter& gain, double eps) : gain_(&gain), eps_(eps) {}

  /// `inverse` (1, N) is kept for backward. `full`, if it is given, is x in full precision.
  void forward(const Pass& pass, const Tensor& h, const Tensor& x, const Tensor& inverse,
               const Tensor& full = {}) const;
  /// Adds to the gain's gradient and to dh. dx: real; `pieces` is scratch memory.
  void backward(const Pass& pass, const Tensor& dx, const Tensor& h, const Tensor& inverse, Buffer& pieces,
                const Tensor& dh) const;

 private:
  const Parameter* gain_;
  double eps_;
};

}  // namespace millrace
