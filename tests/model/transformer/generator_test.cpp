#include "model/transformer/generator.h"

#include <limits>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "model/transformer/sampling.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

ModelConfig dropless() {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::dropless;
  return config;
}

std::vector<std::int32_t> generated(Generator& generator, int count, int allowed, const SamplingOptions& options) {
  std::vector<std::int32_t> tokens;
  generator.generate({0, 5, 9}, count, allowed, options, [&](std::int32_t token) {
    tokens.push_back(token);
    return true;
  });
  return tokens;
}

TEST(Generator, CachedLogitsEqualAWholeForwardPass) {
  const ModelConfig config = dropless();
  auto memory = random_parameters<float>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  Generator generator(*memory.device, config, memory.views(), 100);
  for (const int length : {1, 2, 7, 90}) {
    RandomBatch batch(1, length, config.vocab_size, 4);
    batch.tokens[0] = 3;
    const Trace trace = model.trace(batch.view(), Mode::eval);
    const std::vector<float> logits = generator.logits_after(batch.tokens);
    for (std::size_t v = 0; v < logits.size(); ++v) {
      EXPECT_NEAR(logits[v], trace.logits[trace.logits.size() - logits.size() + v], 2e-4) << length << " " << v;
    }
  }
}

TEST(Generator, DrawsNothingFromLogitsThatAreNotFinite) {
  const ModelConfig config = dropless();
  auto memory = random_parameters<float>(config, 3);
  numbers_of<float>(memory.views().named("model.norm.weight").value)[0] = std::numeric_limits<float>::quiet_NaN();
  Generator generator(*memory.device, config, memory.views(), 60);
  EXPECT_THROW(generated(generator, 4, config.vocab_size, {}), std::domain_error);
}

TEST(Generator, DrawsTheSameTokensFromTheSameSeed) {
  const ModelConfig config = dropless();
  auto memory = random_parameters<float>(config, 3);
  Generator generator(*memory.device, config, memory.views(), 60);
  SamplingOptions options;
  options.seed = 7;
  const auto first = generated(generator, 50, 64, options);
  EXPECT_EQ(first.size(), 50U);
  EXPECT_EQ(generated(generator, 50, 64, options), first);
  options.seed = 8;
  EXPECT_NE(generated(generator, 50, 64, options), first);
}

TEST(Generator, NeverDrawsAnIdThatIsNotAllowed) {
  const ModelConfig config = dropless();
  auto memory = random_parameters<float>(config, 3);
  Generator generator(*memory.device, config, memory.views(), 60);
  for (const std::int32_t token : generated(generator, 50, 5, {})) EXPECT_LT(token, 5);
}

TEST(Generator, RefusesMoreThanItsContext) {
  const ModelConfig config = dropless();
  auto memory = random_parameters<float>(config, 3);
  Generator generator(*memory.device, config, memory.views(), 10);
  EXPECT_THROW(generated(generator, 50, 64, {}), std::length_error);
}

TEST(Sampling, WithoutTemperatureTakesTheMostLikely) {
  SamplingOptions options;
  options.temperature = 0;
  EXPECT_EQ(sample({0, 3, 1, 9}, 3, options, 0), 1);
}

TEST(Sampling, KeepsOnlyTheMostLikelyKOrShareP) {
  SamplingOptions top_k, top_p;
  top_k.top_k = 2;
  top_p.top_p = 0.7;
  std::set<std::int32_t> by_k, by_p;
  for (std::uint64_t draw = 0; draw < 500; ++draw) {
    by_k.insert(sample({1, 1.1F, 1.2F, 0.9F}, 4, top_k, draw));
    by_p.insert(sample({0, 2, 0.5F, 1.5F}, 4, top_p, draw));
  }
  EXPECT_EQ(by_k, (std::set<std::int32_t>{1, 2}));
  EXPECT_EQ(by_p, (std::set<std::int32_t>{1, 3}));
}

TEST(Sampling, DrawsInProportion) {
  int second = 0;
  for (std::uint64_t draw = 0; draw < 10000; ++draw) second += sample({0, 1.0986123F}, 2, {}, draw);
  EXPECT_NEAR(second / 10000.0, 0.75, 0.02);
}

}  // namespace
}  // namespace millrace
