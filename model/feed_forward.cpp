#include "model/feed_forward.h"

#include "model/matmul.h"
#include "model/parallel.h"

namespace millrace {

namespace {

constexpr Index kRows = 16;

/// A linear map stored either way: y = x W, dW += x^T dy, dx (+)= dy W^T.
template <class Scalar>
struct Linear {
  using Layout = typename FeedForwardWeights<Scalar>::Layout;
  Scalar* weight;
  Scalar* grad;
  Index in, out;
  Layout layout;

  View<Scalar> stored(Scalar* data) const {
    return layout == Layout::out_in ? View<Scalar>(data, out, in) : View<Scalar>(data, in, out);
  }
  void forward(View<const Scalar> x, View<Scalar> y) const {
    layout == Layout::out_in ? matmul_nt(x, stored(weight), y) : matmul_nn(x, stored(weight), y);
  }
  void backward_weight(View<const Scalar> dy, View<const Scalar> x) const {
    layout == Layout::out_in ? matmul_tn(dy, x, stored(grad), Into::add) : matmul_tn(x, dy, stored(grad), Into::add);
  }
  void backward_input(View<const Scalar> dy, View<Scalar> dx, Into into) const {
    layout == Layout::out_in ? matmul_nn(dy, stored(weight), dx, into) : matmul_nt(dy, stored(weight), dx, into);
  }
};

template <class Scalar>
Linear<Scalar> gate_of(const FeedForwardWeights<Scalar>& w) {
  return {w.gate, w.gate_grad, w.hidden, Index{2} * w.intermediate, w.layout};
}
template <class Scalar>
Linear<Scalar> up_of(const FeedForwardWeights<Scalar>& w) {
  return {w.up, w.up_grad, w.hidden, w.intermediate, w.layout};
}
template <class Scalar>
Linear<Scalar> down_of(const FeedForwardWeights<Scalar>& w) {
  return {w.down, w.down_grad, w.intermediate, w.hidden, w.layout};
}

/// hidden = v silu(g) u
template <class Scalar>
void activate(const FeedForwardSaved<Scalar>& saved) {
  const Index width = saved.up.columns;
  for_ranges(saved.up.rows, kRows, [&](Index begin, Index end) {
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
  for_ranges(saved.up.rows, kRows, [&](Index begin, Index end) {
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
void feed_forward(const FeedForwardWeights<Scalar>& weights, View<const Scalar> x,
                  const FeedForwardSaved<Scalar>& saved, View<Scalar> y) {
  gate_of(weights).forward(x, saved.gate);
  up_of(weights).forward(x, saved.up);
  activate(saved);
  down_of(weights).forward(saved.hidden, y);
}

template <class Scalar>
void feed_forward_backward(const FeedForwardWeights<Scalar>& weights, View<const Scalar> dy, View<const Scalar> x,
                           const FeedForwardSaved<Scalar>& saved, View<Scalar> d_hidden, View<Scalar> dx) {
  down_of(weights).backward_weight(dy, saved.hidden);
  down_of(weights).backward_input(dy, d_hidden, Into::overwrite);
  activate_backward<Scalar>(saved, d_hidden);
  gate_of(weights).backward_weight(saved.gate, x);
  up_of(weights).backward_weight(saved.up, x);
  gate_of(weights).backward_input(saved.gate, dx, Into::overwrite);
  up_of(weights).backward_input(saved.up, dx, Into::add);
}

template void feed_forward<float>(const FeedForwardWeights<float>&, View<const float>, const FeedForwardSaved<float>&,
                                  View<float>);
template void feed_forward<double>(const FeedForwardWeights<double>&, View<const double>,
                                   const FeedForwardSaved<double>&, View<double>);
template void feed_forward_backward<float>(const FeedForwardWeights<float>&, View<const float>, View<const float>,
                                           const FeedForwardSaved<float>&, View<float>, View<float>);
template void feed_forward_backward<double>(const FeedForwardWeights<double>&, View<const double>, View<const double>,
                                            const FeedForwardSaved<double>&, View<double>, View<double>);

}  // namespace millrace
