#include "model/layers/feed_forward.h"

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kFeedForwardRows = 16;

/// A linear map stored either way: y = x W, dW += x^T dy, dx (+)= dy W^T.
template <class Scalar>
struct Linear {
  using Layout = typename FeedForwardWeights<Scalar>::Layout;
  Scalar* weight;
  Scalar* grad;
  const Bf16* image;
  Index in, out;
  Layout layout;

  View<Scalar> stored(Scalar* data) const {
    return layout == Layout::out_in ? View<Scalar>(data, out, in) : View<Scalar>(data, in, out);
  }
  Factor<Scalar> factor() const {
    const View<Scalar> full = stored(weight);
    if (image == nullptr) return {full};
    return {full, View<const Bf16>(image, full.rows, full.columns)};
  }
  void forward(Factor<Scalar> x, View<Scalar> y) const {
    layout == Layout::out_in ? matmul_nt(x, factor(), y) : matmul_nn(x, factor(), y);
  }
  void backward_weight(Factor<Scalar> dy, Factor<Scalar> x) const {
    layout == Layout::out_in ? matmul_tn(dy, x, stored(grad), Into::add) : matmul_tn(x, dy, stored(grad), Into::add);
  }
  void backward_input(Factor<Scalar> dy, View<Scalar> dx, Into into) const {
    layout == Layout::out_in ? matmul_nn(dy, factor(), dx, into) : matmul_nt(dy, factor(), dx, into);
  }
};

template <class Scalar>
Linear<Scalar> gate_of(const FeedForwardWeights<Scalar>& w) {
  return {w.gate, w.gate_grad, w.gate_image, w.hidden, Index{2} * w.intermediate, w.layout};
}
template <class Scalar>
Linear<Scalar> up_of(const FeedForwardWeights<Scalar>& w) {
  return {w.up, w.up_grad, w.up_image, w.hidden, w.intermediate, w.layout};
}
template <class Scalar>
Linear<Scalar> down_of(const FeedForwardWeights<Scalar>& w) {
  return {w.down, w.down_grad, w.down_image, w.intermediate, w.hidden, w.layout};
}

/// x with its image, made in `memory` if there is any.
template <class Scalar>
Factor<Scalar> imaged(View<const Scalar> x, View<Bf16> memory) {
  if constexpr (std::is_same_v<Scalar, float>) {
    if (memory.data != nullptr) {
      round_to(x, memory);
      return {x, memory};
    }
  }
  return {x};
}

/// hidden = v silu(g) u
template <class Scalar>
void activate(const FeedForwardSaved<Scalar>& saved) {
  const Index width = saved.up.columns;
  for_long_ranges(saved.up.rows, kFeedForwardRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      const auto v = array_of(saved.gate.row(i), width);
      const auto g = array_of(saved.gate.row(i) + width, width);
      const auto u = array_of(saved.up.row(i), width);
      array_of(saved.hidden.row(i), width) = v * u * g / ((-g).exp() + Scalar{1});
    }
  });
}

/// Puts the gradients of v, g and u in their places.
template <class Scalar>
void activate_backward(const FeedForwardSaved<Scalar>& saved, View<const Scalar> d_hidden) {
  const Index width = saved.up.columns;
  for_long_ranges(saved.up.rows, kFeedForwardRows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      Scalar* v = saved.gate.row(i);
      Scalar* g = saved.gate.row(i) + width;
      Scalar* u = saved.up.row(i);
      const Scalar* d = d_hidden.row(i);
      constexpr Index kBlock = 256;  // Stays in the nearest cache.
      Eigen::Array<Scalar, Eigen::Dynamic, 1, 0, kBlock, 1> sigmoid(kBlock);
      for (Index from = 0; from < width; from += kBlock) {
        const Index count = std::min(kBlock, width - from);
        sigmoid.head(count) = ((-array_of(g + from, count)).exp() + Scalar{1}).inverse();
#pragma omp simd
        for (Index j = 0; j < count; ++j) {
          const Scalar value = v[from + j];
          const Scalar argument = g[from + j];
          const Scalar up = u[from + j];
          const Scalar s = sigmoid.data()[j];
          const Scalar upstream = d[from + j];
          v[from + j] = upstream * up * argument * s;
          u[from + j] = upstream * value * argument * s;
          g[from + j] = upstream * value * up * s * (Scalar{1} + argument * (Scalar{1} - s));
        }
      }
    }
  });
}

}  // namespace

template <class Scalar>
void feed_forward(const FeedForwardWeights<Scalar>& weights, Factor<std::type_identity_t<Scalar>> x,
                  const FeedForwardSaved<Scalar>& saved, View<Scalar> y) {
  gate_of(weights).forward(x, saved.gate);
  up_of(weights).forward(x, saved.up);
  activate(saved);
  down_of(weights).forward(imaged<Scalar>(saved.hidden, saved.hidden_image), y);
}

template <class Scalar>
void feed_forward_backward(const FeedForwardWeights<Scalar>& weights, Factor<std::type_identity_t<Scalar>> dy,
                           Factor<std::type_identity_t<Scalar>> x, const FeedForwardSaved<Scalar>& saved,
                           View<Scalar> d_hidden, View<Scalar> dx) {
  const Factor<Scalar> hidden = saved.hidden_image.data == nullptr ? Factor<Scalar>(saved.hidden)
                                                                   : Factor<Scalar>(saved.hidden, saved.hidden_image);
  down_of(weights).backward_weight(dy, hidden);
  down_of(weights).backward_input(dy, d_hidden, Into::overwrite);
  activate_backward<Scalar>(saved, d_hidden);
  const Factor<Scalar> d_gate = imaged<Scalar>(saved.gate, saved.gate_image);
  const Factor<Scalar> d_up = imaged<Scalar>(saved.up, saved.up_image);
  gate_of(weights).backward_weight(d_gate, x);
  up_of(weights).backward_weight(d_up, x);
  gate_of(weights).backward_input(d_gate, dx, Into::overwrite);
  up_of(weights).backward_input(d_up, dx, Into::add);
}

template void feed_forward<float>(const FeedForwardWeights<float>&, Factor<float>, const FeedForwardSaved<float>&,
                                  View<float>);
template void feed_forward<double>(const FeedForwardWeights<double>&, Factor<double>, const FeedForwardSaved<double>&,
                                   View<double>);
template void feed_forward_backward<float>(const FeedForwardWeights<float>&, Factor<float>, Factor<float>,
                                           const FeedForwardSaved<float>&, View<float>, View<float>);
template void feed_forward_backward<double>(const FeedForwardWeights<double>&, Factor<double>, Factor<double>,
                                            const FeedForwardSaved<double>&, View<double>, View<double>);

}  // namespace millrace
