#include "model/layers/feed_forward.h"

#include <gtest/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;
using Layout = FeedForwardWeights<double>::Layout;

/// Memory for one network of H inputs and F inner units on N rows.
struct Network {
  Matrix<double> gate, up, down, gate_grad, up_grad, down_grad, v_g, u, h, d_h;
  FeedForwardWeights<double> weights;
  FeedForwardSaved<double> saved;

  Network(int hidden, int inner, Index rows, Layout layout)
      : gate(random_matrix<double>(2 * inner, hidden, 11)),
        up(random_matrix<double>(inner, hidden, 12)),
        down(random_matrix<double>(hidden, inner, 13)),
        gate_grad(zeros<double>(2 * inner, hidden)),
        up_grad(zeros<double>(inner, hidden)),
        down_grad(zeros<double>(hidden, inner)),
        v_g(rows, 2 * inner),
        u(rows, inner),
        h(rows, inner),
        d_h(rows, inner),
        weights{hidden,           inner,          layout,          gate.data(), up.data(), down.data(),
                gate_grad.data(), up_grad.data(), down_grad.data()},
        saved{v_g.view(), u.view(), h.view()} {}
};

TEST(FeedForward, MultipliesValueGateAndUpAsTheWorkedExample) {
  Network network(2, 1, 1, Layout::out_in);
  const double gate[] = {0.5, 0.25, 1, 0.5};
  const double up[] = {2, 1};
  const double down[] = {3, -1};
  std::copy_n(gate, 4, network.gate.data());
  std::copy_n(up, 2, network.up.data());
  std::copy_n(down, 2, network.down.data());
  double x[] = {1, 1};
  double y[2];
  feed_forward<double>(network.weights, View<const double>(x, 1, 2), network.saved, View<double>(y, 1, 2));
  EXPECT_NEAR(network.h.data()[0], 2.759313857153547, 1e-14);
  EXPECT_NEAR(y[0], 8.277941571, 1e-8);
  EXPECT_NEAR(y[1], -2.759313857, 1e-8);
}

class FeedForwardLayout : public ::testing::TestWithParam<Layout> {};

TEST_P(FeedForwardLayout, GradientMatchesFiniteDifferences) {
  Network network(3, 4, 7, GetParam());
  auto x = random_matrix<double>(7, 3, 1);
  const auto dy = random_matrix<double>(7, 3, 2);
  Matrix<double> y(7, 3);
  const auto loss = [&] {
    feed_forward<double>(network.weights, x.view(), network.saved, y.view());
    return weighted_sum(y, dy);
  };
  loss();
  Matrix<double> dx(7, 3);
  feed_forward_backward<double>(network.weights, dy.view(), x.view(), network.saved, network.d_h.view(), dx.view());
  EXPECT_LT(gradient_error(x.data(), 21, dx.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(network.gate.data(), 24, network.gate_grad.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(network.up.data(), 12, network.up_grad.data(), loss), 1e-6);
  EXPECT_LT(gradient_error(network.down.data(), 12, network.down_grad.data(), loss), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Both, FeedForwardLayout, ::testing::Values(Layout::out_in, Layout::in_out));

}  // namespace
}  // namespace millrace
