#include "model/layers/rms_norm.h"

#include <cmath>

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

namespace {
constexpr Index kNormRows = 64;
}

template <class Scalar>
Scalar RmsNorm<Scalar>::inverse_rms(const Scalar* x, Index count) const {
  const Scalar mean_square = array_of(x, count).square().mean();
  return Scalar{1} / std::sqrt(mean_square + static_cast<Scalar>(eps_));
}

template <class Scalar>
void RmsNorm<Scalar>::forward(View<const Scalar> x, const std::uint8_t* real, View<Scalar> y) const {
  const Index width = x.columns;
  const auto gain = array_of(static_cast<const Scalar*>(gain_->value), width);
  for_ranges(x.rows, kNormRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      if (real != nullptr && real[i] == 0) {
        array_of(y.row(i), width).setZero();
      } else {
        array_of(y.row(i), width) = array_of(x.row(i), width) * inverse_rms(x.row(i), width) * gain;
      }
    }
  });
}

template <class Scalar>
void RmsNorm<Scalar>::backward(View<const Scalar> dy, View<const Scalar> x, const std::uint8_t* real,
                               Matrix<Scalar>& scratch, View<Scalar> dx) const {
  const Index width = x.columns;
  const auto gain = array_of(static_cast<const Scalar*>(gain_->value), width);
  scratch.reshape(range_count(x.rows, kNormRows), width);  // The gain's gradient of each range, summed in order below.
  for_ranges(x.rows, kNormRows, [&](Index begin, Index end) {
    auto sum = array_of(scratch.row(begin / kNormRows), width);
    sum.setZero();
    for (Index i = begin; i < end; ++i) {
      if (real != nullptr && real[i] == 0) continue;
      const auto input = array_of(x.row(i), width);
      const auto upstream = array_of(dy.row(i), width);
      const Scalar inverse = inverse_rms(x.row(i), width);
      const Scalar along = (upstream * gain * input).mean() * inverse * inverse * inverse;
      sum += upstream * input * inverse;
      array_of(dx.row(i), width) += upstream * gain * inverse - input * along;
    }
  });
  auto total = array_of(gain_->grad, width);
  for (Index range = 0; range < scratch.rows(); ++range) total += array_of(scratch.row(range), width);
}

template class RmsNorm<float>;
template class RmsNorm<double>;

}  // namespace millrace
