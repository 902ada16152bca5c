#pragma once

#include <cstdint>

#include "model/matrix.h"
#include "model/parameters/parameter.h"

namespace millrace {

/// h[t] = W[tokens[t]], without scaling.   W: [V, H]   tokens: (N), each in 0 .. V-1   h: (N, H)
template <class Scalar>
class Embedding {
 public:
  explicit Embedding(const Parameter<Scalar>& weight) : weight_(&weight) {}

  /// Throws std::out_of_range naming position and id if an id has no row.
  void forward(const std::int32_t* tokens, View<Scalar> h) const;
  /// Adds dh[t] to the gradient of its token's row, in the order of t.
  void backward(const std::int32_t* tokens, View<const Scalar> dh) const;

 private:
  const Parameter<Scalar>* weight_;
};

extern template class Embedding<float>;
extern template class Embedding<double>;

}  // namespace millrace
