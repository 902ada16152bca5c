#include "model/parameters/parameter.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

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

/// Where tensors lie, from the first number to behind the last.
using Places = std::vector<std::pair<const float*, const float*>>;

Places places_of(const Parameters& parameters, Tensor Parameter::*which) {
  Places places;
  for (const Parameter& parameter : parameters.all) {
    const std::span<float> numbers = test::numbers_of<float>(parameter.*which);
    places.emplace_back(numbers.data(), numbers.data() + numbers.size());
  }
  std::ranges::sort(places);
  return places;
}

TEST(ParameterMemory, GivesEveryTensorAnAlignedPlaceOfItsOwn) {
  const test::Weights weights(model_preset("openmoe-micro"), Precision::f32);
  for (const auto which : {&Parameter::value, &Parameter::gradient}) {
    const float* end = nullptr;
    for (const auto& [first, behind] : places_of(weights.views(), which)) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0U);
      EXPECT_LE(end, first);
      end = behind;
    }
  }
}

TEST(ParameterMemory, HoldsFurtherGradientsOfAllTensorsAndOfThoseThatAreNotTheExperts) {
  CpuDevice device(Precision::f32);
  const std::vector<ParameterSpec> specs = parameter_specs(model_preset("openmoe-micro"));
  const ParameterMemory memory(device, specs, ParameterMemory::Gradients::allocated, {.whole = 2, .shared = 1});
  std::vector<Tensor> all{memory.whole_gradients(0), memory.whole_gradients(1), memory.whole_gradients(2),
                          memory.shared_gradients(1)};
  EXPECT_EQ(memory.shared_gradients(0).data, all[0].data);
  for (const Tensor& tensor : all) device.clear(tensor.data, static_cast<std::size_t>(tensor.size()) * sizeof(float));
  for (std::size_t i = 1; i < all.size(); ++i)
    EXPECT_GE(all[i].row<float>(0), all[i - 1].row<float>(0) + all[i - 1].columns);
  const auto holds = [](const Tensor& tensor, const Tensor& gradient) {
    const auto* first = gradient.row<float>(0);
    return first >= tensor.row<float>(0) && first + gradient.size() <= tensor.row<float>(0) + tensor.columns;
  };
  for (const Parameter& parameter : memory.views().all) {
    EXPECT_TRUE(holds(memory.whole_gradients(0), parameter.gradient));
    EXPECT_NE(holds(memory.shared_gradients(0), parameter.gradient), parameter.spec.per_expert) << parameter.spec.name;
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
