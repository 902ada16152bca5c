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
  ParameterMemory<float> memory(model_preset("openmoe-micro"), ParameterMemory<float>::Gradients::allocated);
  const float* end = nullptr;
  for (const Parameter<float>& parameter : memory.views().all) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameter.value) % 64, 0U);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameter.grad) % 64, 0U);
    EXPECT_LE(end, parameter.value);
    end = parameter.value + parameter.spec.size();
  }
}

TEST(ParameterMemory, DrawsEachLawWithItsStandardDeviation) {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 512;
  config.hidden_size = 64;
  config.head_dim = 16;
  config.intermediate_size = 96;
  ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::none);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
  for (const Parameter<float>& parameter : memory.views().all) {
    const ParameterSpec& spec = parameter.spec;
    double square = 0;
    double largest = 0;
    for (std::int64_t i = 0; i < spec.size(); ++i) {
      square += static_cast<double>(parameter.value[i]) * parameter.value[i];
      largest = std::max(largest, std::abs(static_cast<double>(parameter.value[i])));
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
  const auto drawn_on = [&](int threads) {
    std::array<std::atomic<std::int64_t>, kThreads> drawn{};
    omp_set_num_threads(threads);
    ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::none);
    memory.initialize([&](std::uint64_t tensor, std::uint64_t element) {
      ++drawn.at(static_cast<std::size_t>(omp_get_thread_num()));
      return test::uniform(tensor, element);
    });
    for (int thread = 0; thread < threads; ++thread)
      EXPECT_GT(drawn.at(static_cast<std::size_t>(thread)), parameter_count(config) / threads / 2) << thread;
    return memory;
  };
  const ParameterMemory<float> one = drawn_on(1);
  const ParameterMemory<float> many = drawn_on(kThreads);
  omp_set_num_threads(before);
  for (std::size_t i = 0; i < one.views().all.size(); ++i) {
    const Parameter<float>& parameter = one.views().all[i];
    EXPECT_TRUE(std::equal(parameter.value, parameter.value + parameter.spec.size(), many.views().all[i].value))
        << parameter.spec.name;
  }
}

}  // namespace
}  // namespace millrace
