#include "model/cpu/cpu_attention.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>
#include <rapidcheck.h>

#include "model/stop.h"
#include "tests/model/device/attention_case.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;

TEST(CpuAttention, IsTheSoftmaxOfWhatEachQuerySeesWithSegmentsPaddingAndACache) {
  expect_holds(60, [] {
    const auto type = *rc::gen::element(Type::f64, Type::f32, Type::bf16);
    const Index queries =
        *rc::gen::weightedOneOf<Index>({{1, rc::gen::inRange<Index>(1, 20)}, {1, rc::gen::inRange<Index>(60, 200)}});
    AttentionCase attention(*rc::gen::inRange<Index>(1, 4), *rc::gen::inRange<Index>(1, 4),
                            *rc::gen::element<Index>(1, 8, 20), queries, *rc::gen::element<Index>(0, 0, 1, 100), type,
                            *rc::gen::inRange<std::uint64_t>(1, 1000));
    attend_on_cpu(attention.call, *rc::gen::element(ProductSource::onednn, ProductSource::loops));
    RC_ASSERT(attention.error() <= attention_tolerance(type));
  });
}

TEST(CpuAttention, HasTheGradientsThatFiniteDifferencesHave) {
  AttentionCase attention(2, 2, 3, 70, 0, Type::f64);
  AttentionGradients gradients(attention);
  attend_on_cpu(attention.call, ProductSource::loops);
  attend_backward_on_cpu(gradients.call, ProductSource::loops);
  const auto loss = [&] {
    attend_on_cpu(attention.call, ProductSource::loops);
    double sum = 0;
    for (Index i = 0; i < attention.call.q.rows; ++i)
      for (Index j = 0; j < attention.call.q.columns; ++j) sum += attention.out.get(i, j) * gradients.d_out.get(i, j);
    return sum;
  };
  struct Pair {
    TypedNumbers& values;
    const TypedNumbers& gradient;
  };
  for (const Pair& pair :
       {Pair{attention.q, gradients.dq}, Pair{attention.k, gradients.dk}, Pair{attention.v, gradients.dv}}) {
    for (Index i = 0; i < attention.call.q.rows; i += 3) {
      const Index j = i % attention.call.q.columns;
      const double kept = pair.values.get(i, j);
      constexpr double kStep = 1e-5;
      pair.values.set(i, j, kept + kStep);
      const double above = loss();
      pair.values.set(i, j, kept - kStep);
      const double below = loss();
      pair.values.set(i, j, kept);
      EXPECT_NEAR(pair.gradient.get(i, j), (above - below) / (2 * kStep), 1e-7) << i << ", " << j;
    }
  }
}

/// What f32 and bf16 give, from the same numbers, is what f64 gives.
TEST(CpuAttention, HasTheSameGradientsInEveryPrecision) {
  AttentionCase exact(2, 3, 16, 130, 0, Type::f64);
  for (TypedNumbers* numbers : {&exact.q, &exact.k, &exact.v})
    for (Index i = 0; i < numbers->tensor().rows; ++i)
      for (Index j = 0; j < numbers->tensor().columns; ++j)
        numbers->set(i, j, static_cast<double>(widened(rounded(static_cast<float>(numbers->get(i, j))))));
  AttentionGradients exact_gradients(exact);
  for (Index i = 0; i < exact.call.q.rows; ++i)
    for (Index j = 0; j < exact.call.q.columns; ++j)
      exact_gradients.d_out.set(
          i, j, static_cast<double>(widened(rounded(static_cast<float>(exact_gradients.d_out.get(i, j))))));
  attend_on_cpu(exact.call, ProductSource::loops);
  attend_backward_on_cpu(exact_gradients.call, ProductSource::loops);
  for (const Type type : {Type::f32, Type::bf16}) {
    for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
      AttentionCase attention(2, 3, 16, 130, 0, type);
      AttentionGradients gradients(attention);
      for (Index i = 0; i < exact.call.q.rows; ++i) {
        for (Index j = 0; j < exact.call.q.columns; ++j) {
          attention.q.set(i, j, exact.q.get(i, j));
          attention.k.set(i, j, exact.k.get(i, j));
          attention.v.set(i, j, exact.v.get(i, j));
          gradients.d_out.set(i, j, exact_gradients.d_out.get(i, j));
        }
      }
      attend_on_cpu(attention.call, source);
      attend_backward_on_cpu(gradients.call, source);
      double worst = 0;
      for (Index i = 0; i < exact.call.q.rows; ++i) {
        for (Index j = 0; j < exact.call.q.columns; ++j) {
          worst = std::max(worst, std::abs(gradients.dq.get(i, j) - exact_gradients.dq.get(i, j)));
          worst = std::max(worst, std::abs(gradients.dk.get(i, j) - exact_gradients.dk.get(i, j)));
          worst = std::max(worst, std::abs(gradients.dv.get(i, j) - exact_gradients.dv.get(i, j)));
        }
      }
      EXPECT_LE(worst, type == Type::f32 ? 3e-5 : 5e-2);
      EXPECT_GT(worst, 0);
    }
  }
}

TEST(CpuAttention, GivesTheSameBitsOnAnyNumberOfThreads) {
  for (const Type type : {Type::f64, Type::f32, Type::bf16}) {
    std::vector<std::vector<std::uint8_t>> expected;
    for (const int threads : {1, 2, 3, 8}) {
      omp_set_num_threads(threads);
      AttentionCase attention(2, 3, 16, 150, 0, type);
      AttentionGradients gradients(attention);
      attend_on_cpu(attention.call, ProductSource::onednn);
      attend_backward_on_cpu(gradients.call, ProductSource::onednn);
      const std::vector<std::vector<std::uint8_t>> bits{attention.out.bytes(), attention.log_sum.bytes(),
                                                        gradients.dq.bytes(), gradients.dk.bytes(),
                                                        gradients.dv.bytes()};
      if (threads == 1) expected = bits;
      EXPECT_EQ(bits, expected) << threads;
    }
  }
  omp_set_num_threads(omp_get_num_procs());
}

TEST(CpuAttention, RefusesTensorsThatDoNotFit) {
  const AttentionCase attention(2, 2, 4, 3, 0, Type::f32);
  const auto refused = [](const AttentionCall& call) {
    try {
      attend_on_cpu(call, ProductSource::loops);
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refused(attention.call));
  const auto with = [&](auto change) {
    AttentionCall call = attention.call;
    change(call);
    return refused(call);
  };
  EXPECT_TRUE(with([](AttentionCall& call) { call.heads = 3; }));
  EXPECT_TRUE(with([](AttentionCall& call) { call.rows = 4; }));
  EXPECT_TRUE(with([](AttentionCall& call) { call.start = 1; }));
  EXPECT_TRUE(with([](AttentionCall& call) { call.v.type = Type::bf16; }));
  EXPECT_TRUE(with([](AttentionCall& call) { call.log_sum.columns = 5; }));
  EXPECT_TRUE(with([](AttentionCall& call) { call.first_key.columns = 5; }));
  AttentionGradients gradients(attention);
  gradients.call.dk.columns = 7;
  EXPECT_THROW(attend_backward_on_cpu(gradients.call, ProductSource::loops), std::logic_error);
}

TEST(CpuAttention, StopsWhenAsked) {
  const AttentionCase attention(2, 2, 4, 3, 0, Type::f32);
  request_stop();
  EXPECT_THROW(attend_on_cpu(attention.call, ProductSource::loops), Stopped);
  withdraw_stop();
}

}  // namespace
}  // namespace millrace
