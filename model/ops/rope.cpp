#include "model/ops/rope.h"

#include <cmath>

#include "model/parallel.h"

namespace millrace {

template <class Scalar>
void Rope<Scalar>::reserve(std::int32_t count) {
  if (cosine_.rows() >= count) return;
  const Index half = head_dim_ / 2;
  cosine_.reshape(count, half);
  sine_.reshape(count, half);
  for (Index j = 0; j < half; ++j) {
    const double frequency = std::pow(theta_, -2.0 * static_cast<double>(j) / head_dim_);
    for (Index position = 0; position < count; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      cosine_.row(position)[j] = static_cast<Scalar>(std::cos(angle));
      sine_.row(position)[j] = static_cast<Scalar>(std::sin(angle));
    }
  }
}

template <class Scalar>
void Rope<Scalar>::turn(View<Scalar> x, const std::int32_t* position, Scalar sign) const {
  const Index half = head_dim_ / 2;
  for_ranges(x.rows, 64, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const Scalar* cosine = cosine_.row(position[i]);
      const Scalar* sine = sine_.row(position[i]);
      for (Scalar* head = x.row(i); head < x.row(i) + x.columns; head += head_dim_) {
#pragma omp simd
        for (Index j = 0; j < half; ++j) {
          const Scalar first = head[j];
          const Scalar second = head[j + half];
          head[j] = first * cosine[j] - sign * second * sine[j];
          head[j + half] = second * cosine[j] + sign * first * sine[j];
        }
      }
    }
  });
}

template class Rope<float>;
template class Rope<double>;

}  // namespace millrace
