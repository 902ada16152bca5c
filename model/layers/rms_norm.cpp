#include "model/layers/rms_norm.h"

#include "model/parallel.h"

namespace millrace {

void RmsNorm::forward(const Pass& pass, const Tensor& h, const Tensor& x, const Tensor& inverse,
                      const Tensor& full) const {
  pass.device.run(NormRows{h, gain_->value.data, pass.real, x, full, inverse.data, eps_}, h.rows);
}

void RmsNorm::backward(const Pass& pass, const Tensor& dx, const Tensor& h, const Tensor& inverse, Buffer& pieces,
                       const Tensor& dh) const {
  const Index count = range_count(h.rows, NormRowsBackward::kRows);
  const Tensor gains = pieces.shaped(count, h.columns, pass.device.real());
  pass.device.run(NormRowsBackward{dx, h, gain_->value.data, pass.real, inverse.data, dh, gains}, count);
  pass.device.run(AddPieces{gains, pass.gradients.of(gain_->gradient, false).data},
                  range_count(h.columns, AddPieces::kColumns));
}

}  // namespace millrace
