#include "model/parameters/parameter.h"

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/parameters/normal_quantile.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

TEST(NormalQuantile, InvertsTheDistributionFunction) {
  for (const double p : {1e-16, 1e-9, 0.01, 0.3, 0.5, 0.7, 0.999, 1 - 1e-12}) {
    EXPECT_NEAR(0.5 * std::erfc(-normal_quantile(p) / std::sqrt(2.0)) / p, 1.0, 1e-12) << p;
  }
}

TEST(NormalQuantile, HasTheSameBitsScaledToAFloatAsComputedInFull) {
  for (const double scale : {1.0, 0.02, 0.0123456789, 3e-5}) {
    for (std::uint64_t i = 0; i < 100'000; ++i) {
      const double uniform = test::uniform(7, i);
      for (const double p :
           {uniform, uniform * 1e-9, 0.5 + uniform * 1e-9, 1 - uniform * 1e-9, 0.075 + uniform * 1e-6}) {
        if (p <= 0 || p >= 1) continue;
        const auto expected = static_cast<float>(scale * normal_quantile(p));
        ASSERT_EQ(scaled_normal_quantile(p, scale), expected) << p << " " << scale;
      }
    }
  }
}

TEST(ParameterMemory, GivesEveryTensorAnAlignedPlaceOfItsOwn) {
  const test::Weights weights(model_preset("openmoe-micro"), Precision::f32);
  const float* end = nullptr;
  for (const Parameter& parameter : weights.views().all) {
    const std::span<float> value = test::numbers_of<float>(parameter.value);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(value.data()) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameter.gradient.data) % 64, 0U);
    EXPECT_LE(end, value.data());
    end = value.data() + value.size();
  }
}

TEST(ParameterMemory, DrawsEachLawWithItsStandardDeviation) {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 512;
  config.hidden_size = 64;
  config.head_dim = 16;
  config.intermediate_size = 96;
  CpuDevice device(Precision::f32);
  ParameterMemory memory(device, config, ParameterMemory::Gradients::none);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
  for (const Parameter& parameter : memory.views().all) {
    const ParameterSpec& spec = parameter.spec;
    double square = 0;
    double largest = 0;
    for (const double value : test::numbers_of<float>(parameter.value)) {
      square += value * value;
      largest = std::max(largest, std::abs(value));
    }
    const double measured = std::sqrt(square / static_cast<double>(spec.size()));
    if (spec.initializer.law == Initializer::Law::ones) {
      EXPECT_EQ(measured, 1.0) << spec.name;
      continue;
    }
    EXPECT_NEAR(measured / spec.initializer.stddev, 1.0, 0.1) << spec.name;
    if (spec.initializer.law == Initializer::Law::truncated_normal) {
      EXPECT_LE(largest, 2.0001 * spec.initializer.stddev / 0.87962566) << spec.name;
    }
  }
}

TEST(ParameterMemory, DrawsOnAllThreadsTheSameBitsAsOnOne) {
  constexpr int kThreads = 4;
  const int before = omp_get_max_threads();
  const ModelConfig config = model_preset("openmoe-nano");
  CpuDevice device(Precision::f32);
  const auto drawn_on = [&](int threads) {
    std::array<std::atomic<std::int64_t>, kThreads> drawn{};
    omp_set_num_threads(threads);
    ParameterMemory memory(device, config, ParameterMemory::Gradients::none);
    memory.initialize([&](std::uint64_t tensor, std::uint64_t element) {
      ++drawn.at(static_cast<std::size_t>(omp_get_thread_num()));
      return test::uniform(tensor, element);
    });
    for (int thread = 0; thread < threads; ++thread)
      EXPECT_GT(drawn.at(static_cast<std::size_t>(thread)), parameter_count(config) / threads / 2) << thread;
    return memory;
  };
  const ParameterMemory one = drawn_on(1);
  const ParameterMemory many = drawn_on(kThreads);
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < one.views().all.size(); ++i) {
    const std::span<float> value = test::numbers_of<float>(one.views().all[i].value);
    EXPECT_TRUE(std::ranges::equal(value, test::numbers_of<float>(many.views().all[i].value)))
        << one.views().all[i].spec.name;
  }
}

}  // namespace
}  // namespace millrace
