#include "model/parameter.h"

#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

#include "model/normal_quantile.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

TEST(NormalQuantile, InvertsTheDistributionFunction) {
  for (const double p : {1e-16, 1e-9, 0.01, 0.3, 0.5, 0.7, 0.999, 1 - 1e-12}) {
    EXPECT_NEAR(0.5 * std::erfc(-normal_quantile(p) / std::sqrt(2.0)) / p, 1.0, 1e-12) << p;
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

}  // namespace
}  // namespace millrace
