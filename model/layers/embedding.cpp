#include "model/layers/embedding.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

template <class Scalar>
void Embedding<Scalar>::forward(const std::int32_t* tokens, View<Scalar> h) const {
  const Index vocabulary = weight_->spec.shape[0];
  for (Index t = 0; t < h.rows; ++t) {
    if (tokens[t] < 0 || tokens[t] >= vocabulary) {
      throw std::out_of_range("token id " + std::to_string(tokens[t]) + " at position " + std::to_string(t) +
                              " of the micro-batch; the model has " + std::to_string(vocabulary) + " rows");
    }
  }
  for_ranges(h.rows, 64, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) std::copy_n(weight_->value + tokens[t] * h.columns, h.columns, h.row(t));
  });
}

/// Ranges are of columns: two positions may share a row, no two ranges share a column.
template <class Scalar>
void Embedding<Scalar>::backward(const std::int32_t* tokens, View<const Scalar> dh) const {
  for_ranges(dh.columns, 64, [&](Index begin, Index end) {
    for (Index t = 0; t < dh.rows; ++t) {
      array_of(weight_->grad + tokens[t] * dh.columns + begin, end - begin) += array_of(dh.row(t) + begin, end - begin);
    }
  });
}

template class Embedding<float>;
template class Embedding<double>;

}  // namespace millrace
