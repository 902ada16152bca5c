#pragma once

#include <Eigen/Core>

#include "model/matrix.h"

namespace millrace {

/// `count` numbers as an Eigen array, for vectorised arithmetic on them.
template <class Scalar>
Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>> array_of(Scalar* data, Index count) {
  return {data, count};
}
template <class Scalar>
Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>> array_of(const Scalar* data, Index count) {
  return {data, count};
}

}  // namespace millrace
