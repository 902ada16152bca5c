#include "model/device/kernel_attention.h"

#include <cstddef>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/cpu/cpu_attention.h"
#include "model/cpu/cpu_device.h"
#include "tests/model/device/attention_case.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;

/// A device of that type's precision.
CpuDevice device_of(Type type) {
  return CpuDevice(type == Type::f64 ? Precision::f64 : type == Type::f32 ? Precision::f32 : Precision::bf16);
}

TEST(KernelAttention, IsTheSoftmaxOfWhatEachQuerySeesWithSegmentsPaddingAndACache) {
  expect_holds(60, [] {
    const auto type = *rc::gen::element(Type::f64, Type::f32, Type::bf16);
    AttentionCase attention(*rc::gen::inRange<Index>(1, 4), *rc::gen::inRange<Index>(1, 4),
                            *rc::gen::element<Index>(1, 8, 20), *rc::gen::inRange<Index>(1, 70),
                            *rc::gen::element<Index>(0, 0, 1, 100), type, *rc::gen::inRange<std::uint64_t>(1, 1000));
    CpuDevice device = device_of(type);
    KernelAttention(device, *rc::gen::element<std::size_t>(1, 1 << 14, 1 << 28)).attend(attention.call);
    RC_ASSERT(attention.error() <= attention_tolerance(type));
  });
}

TEST(KernelAttention, HasTheGradientsOfTheProcessorsAttention) {
  for (const std::size_t most_bytes : {std::size_t{1}, std::size_t{1} << 28U}) {
    AttentionCase expected(3, 2, 5, 70, 0, Type::f64);
    AttentionGradients expected_gradients(expected);
    attend_on_cpu(expected.call, ProductSource::loops);
    attend_backward_on_cpu(expected_gradients.call, ProductSource::loops);
    AttentionCase attention(3, 2, 5, 70, 0, Type::f64);
    AttentionGradients gradients(attention);
    CpuDevice device(Precision::f64);
    KernelAttention by_kernels(device, most_bytes);
    by_kernels.attend(attention.call);
    by_kernels.attend_backward(gradients.call);
    for (Index i = 0; i < attention.call.q.rows; ++i) {
      for (Index j = 0; j < attention.call.q.columns; ++j) {
        EXPECT_NEAR(gradients.dq.get(i, j), expected_gradients.dq.get(i, j), 1e-12);
        EXPECT_NEAR(gradients.dk.get(i, j), expected_gradients.dk.get(i, j), 1e-12);
        EXPECT_NEAR(gradients.dv.get(i, j), expected_gradients.dv.get(i, j), 1e-12);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
