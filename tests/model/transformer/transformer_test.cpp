#include "model/transformer/transformer.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>
#include <omp.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

ModelConfig tiny() {
  ModelConfig config = model_preset("openmoe-micro");
  config.vocab_size = 11;
  config.hidden_size = 6;
  config.head_dim = 4;
  config.intermediate_size = 3;
  config.z_loss_factor = 0.01;
  config.router_aux_loss_factor = 0.1;
  config.router_z_loss_factor = 0.05;
  config.router_min_capacity = 2;
  return config;
}

double worst_gradient(const ModelConfig& config, const TokenBatch& batch, bool expect_drops) {
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const Losses losses = model.forward_backward(batch, 2.0);
  for (const RouterStatistics& router : losses.routers) EXPECT_EQ(router.dropped > 0, expect_drops);
  const std::vector<double> kept = [&] {
    std::vector<double> all;
    for (const Parameter& parameter : memory.views().all) {
      const std::span<double> gradient = numbers_of<double>(parameter.gradient);
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    return all;
  }();
  double worst = 0;
  std::size_t at = 0;
  for (const Parameter& parameter : memory.views().all) {
    const auto loss = [&] { return 2.0 * model.forward_backward(batch, 0.0).total; };
    const double error = gradient_error(numbers_of<double>(parameter.value).data(), parameter.spec.size(),
                                        kept.data() + at, loss, 1e-4, 3);
    EXPECT_LT(error, 2e-4) << parameter.spec.name;
    worst = std::max(worst, error);
    at += static_cast<std::size_t>(parameter.spec.size());
  }
  return worst;
}

TEST(Transformer, GradientMatchesFiniteDifferencesWithDroppedPairs) {
  const RandomBatch batch(2, 7, 11, 1);
  worst_gradient(tiny(), batch.view(), true);
}

void expect_gradient_with_segments_pads_and_weights(ModelConfig config) {
  config.capacity_rule = CapacityRule::dropless;
  RandomBatch random(2, 8, 11, 5);
  const std::vector<std::int32_t> segments{1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  const std::vector<std::int32_t> positions{0, 1, 2, 0, 1, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7};
  for (std::size_t i : {3U, 6U, 7U}) random.tokens[i] = 0;
  for (std::size_t i : {0U, 4U, 6U, 7U}) random.weights[i] = 0;
  random.weights[9] = 0.25F;
  TokenBatch batch = random.view();
  batch.segment_ids = segments.data();
  batch.positions = positions.data();
  worst_gradient(config, batch, false);
}

TEST(Transformer, GradientMatchesFiniteDifferencesWithSegmentsPadsAndWeights) {
  expect_gradient_with_segments_pads_and_weights(tiny());
}

TEST(Transformer, GradientMatchesFiniteDifferencesWithPaddingThatIsNotRouted) {
  ModelConfig config = tiny();
  config.pads_routed = false;
  expect_gradient_with_segments_pads_and_weights(config);
}

TEST(Transformer, GradientMatchesFiniteDifferencesWithDropout) {
  ModelConfig config = tiny();
  config.dropout_rate = 0.3;
  expect_gradient_with_segments_pads_and_weights(config);
}

/// The gradients of two rows after two others, in micro-batches of so many rows.
std::vector<double> gradients_in_parts(const ModelConfig& config, int rows) {
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const RandomBatch random(4, 6, config.vocab_size, 9);
  for (int first = 0; first < 4; first += rows) {
    TokenBatch batch = random.view();
    const std::ptrdiff_t before = std::ptrdiff_t{6} * first;
    batch = {rows, 6, batch.tokens + before, batch.labels + before, batch.loss_weights + before, nullptr, nullptr};
    batch.step = 5;
    batch.first_row = static_cast<std::uint64_t>(first);
    model.forward_backward(batch, rows / 4.0);
  }
  std::vector<double> all;
  for (const Parameter& parameter : memory.views().all) {
    const std::span<double> gradient = numbers_of<double>(parameter.gradient);
    all.insert(all.end(), gradient.begin(), gradient.end());
  }
  return all;
}

TEST(Transformer, DropsTheSameNumbersHoweverRowsAreCutIntoMicroBatches) {
  ModelConfig config = tiny();
  config.capacity_rule = CapacityRule::flaxformer;
  config.router_group_size = 6;
  config.dropout_rate = 0.3;
  const std::vector<double> whole = gradients_in_parts(config, 4);
  const std::vector<double> parts = gradients_in_parts(config, 1);
  config.dropout_rate = 0;
  const std::vector<double> without = gradients_in_parts(config, 4);
  double largest = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_NEAR(whole[i], parts[i], 1e-12);
    largest = std::max(largest, std::abs(whole[i] - without[i]));
  }
  EXPECT_GT(largest, 0.01);
}

TEST(Transformer, DropsNothingInAnEvaluation) {
  ModelConfig config = tiny();
  auto memory = random_parameters<double>(config, 3);
  const RandomBatch batch(2, 7, config.vocab_size, 1);
  const TokenScores without = Transformer(*memory.device, config, memory.views()).score(batch.view());
  config.dropout_rate = 0.5;
  Transformer model(*memory.device, config, memory.views());
  TokenScores trained;
  model.forward_backward(batch.view(), 1.0, &trained);
  EXPECT_EQ(model.score(batch.view()).cross_entropy, without.cross_entropy);
  EXPECT_NE(trained.cross_entropy, without.cross_entropy);
}

TEST(Transformer, TotalIsTheWeightedSumOfItsParts) {
  const ModelConfig config = tiny();
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const RandomBatch batch(1, 9, 11, 1);
  const Losses losses = model.forward_backward(batch.view(), 1.0);
  EXPECT_NEAR(losses.total, losses.ce + losses.z_loss + 0.1 * losses.aux_loss + 0.05 * losses.router_z_loss, 1e-14);
  EXPECT_EQ(losses.loss_weight, 9.0);
}

TEST(Transformer, AddsToGradientsThatAreThere) {
  const ModelConfig config = tiny();
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const RandomBatch batch(1, 9, 11, 1);
  model.forward_backward(batch.view(), 1.0);
  const double once = numbers_of<double>(memory.views().named("lm_head.weight").gradient)[5];
  model.forward_backward(batch.view(), 0.5);
  EXPECT_NEAR(numbers_of<double>(memory.views().named("lm_head.weight").gradient)[5], 1.5 * once, 1e-14);
}

TEST(Transformer, ScoresWhatTraceAndTheLabelsSay) {
  ModelConfig config = tiny();
  config.capacity_rule = CapacityRule::dropless;
  auto memory = random_parameters<float>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const RandomBatch batch(2, 9, 11, 1);
  const Trace trace = model.trace(batch.view(), Mode::eval);
  const TokenScores scores = model.score(batch.view());
  for (std::size_t t = 0; t < 18; ++t) {
    double sum = 0;
    for (std::size_t v = 0; v < 11; ++v) sum += std::exp(static_cast<double>(trace.logits[t * 11 + v]));
    const double expected = std::log(sum) - trace.logits[t * 11 + static_cast<std::size_t>(batch.labels[t])];
    EXPECT_NEAR(scores.cross_entropy[t], expected, 1e-5);
  }
}

TEST(Transformer, SegmentsOfARowDoNotSeeEachOther) {
  ModelConfig config = tiny();
  config.capacity_rule = CapacityRule::dropless;
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const std::vector<std::int32_t> packed{0, 4, 5, 0, 7, 8}, alone{0, 7, 8}, segments{1, 1, 1, 2, 2, 2};
  const std::vector<std::int32_t> positions{0, 1, 2, 0, 1, 2};
  const auto both = model.trace({1, 6, packed.data(), nullptr, nullptr, segments.data(), positions.data()}, Mode::eval);
  const auto one = model.trace({1, 3, alone.data(), nullptr, nullptr, nullptr, nullptr}, Mode::eval);
  for (std::size_t i = 0; i < 33; ++i) EXPECT_NEAR(both.logits[33 + i], one.logits[i], 1e-12);
}

TEST(Transformer, SendsPadsToTheFirstExpertsAndCountsThem) {
  const ModelConfig config = tiny();
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const std::vector<std::int32_t> tokens{0, 4, 5, 0, 0, 0};
  const auto trace = model.trace({1, 6, tokens.data(), nullptr, nullptr, nullptr, nullptr}, Mode::train);
  for (std::size_t t = 3; t < 6; ++t) {
    for (std::size_t e = 0; e < 4; ++e) EXPECT_EQ(trace.router_logits[0][t * 4 + e], 0.0);
    EXPECT_EQ(trace.kept[0][t * 4 + 2] + trace.kept[0][t * 4 + 3], 0);
  }
  EXPECT_GE(trace.routers[0].load[0], 0.25);
}

TEST(Transformer, SendsPadsNowhereWhereTheyAreNotRouted) {
  ModelConfig config = tiny();
  config.pads_routed = false;
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  const std::vector<std::int32_t> tokens{0, 4, 5, 0, 0, 0};
  const auto trace = model.trace({1, 6, tokens.data(), nullptr, nullptr, nullptr, nullptr}, Mode::train);
  for (std::size_t at = 3 * 4; at < 6 * 4; ++at) EXPECT_EQ(trace.kept[0][at], 0);
  const auto alone = model.trace({1, 3, tokens.data(), nullptr, nullptr, nullptr, nullptr}, Mode::train);
  EXPECT_NEAR(trace.routers[0].aux_loss, alone.routers[0].aux_loss, 1e-12);
  EXPECT_NEAR(trace.routers[0].z_loss, alone.routers[0].z_loss, 1e-12);
}

TEST(Transformer, GivesTheSameBitsOnAnyNumberOfThreads) {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 700;
  config.hidden_size = 96;
  config.head_dim = 24;
  config.intermediate_size = 150;
  config.router_group_size = 300;
  const RandomBatch batch(3, 150, 700, 1);
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 8}) {
    omp_set_num_threads(threads);
    auto memory = random_parameters<float>(config, 3);
    Transformer model(*memory.device, config, memory.views());
    std::vector<float> all;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const Losses losses = model.forward_backward(batch.view(), 1.0);
      all.push_back(static_cast<float>(losses.total));
      for (const RouterStatistics& router : losses.routers) all.push_back(static_cast<float>(router.gates));
    }
    for (const Parameter& parameter : memory.views().all) {
      const std::span<float> gradient = numbers_of<float>(parameter.gradient);
      all.insert(all.end(), gradient.begin(), gradient.end());
    }
    if (threads == 1) first = all;
    EXPECT_EQ(std::memcmp(first.data(), all.data(), all.size() * sizeof(float)), 0) << threads << " threads";
  }
  omp_set_num_threads(omp_get_num_procs());
}

TEST(Transformer, GivesTheSameBitsWhenLayersAreRunAgain) {
  ModelConfig config = model_preset("openmoe-micro");
  config.dropout_rate = 0.1;
  const RandomBatch batch(2, 50, config.vocab_size, 1);
  auto kept = random_parameters<float>(config, 3);
  auto again = random_parameters<float>(config, 3);
  const Losses losses = Transformer(*kept.device, config, kept.views()).forward_backward(batch.view(), 1.0);
  EXPECT_EQ(Transformer(*again.device, config, again.views(), Recompute::yes).forward_backward(batch.view(), 1.0).total,
            losses.total);
  for (std::size_t i = 0; i < kept.views().all.size(); ++i) {
    const Parameter& parameter = kept.views().all[i];
    const auto bytes = static_cast<std::size_t>(parameter.spec.size()) * sizeof(float);
    EXPECT_EQ(std::memcmp(parameter.gradient.data, again.views().all[i].gradient.data, bytes), 0)
        << parameter.spec.name;
  }
}

TEST(Transformer, RefusesATokenWithoutARow) {
  const ModelConfig config = tiny();
  auto memory = random_parameters<double>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  RandomBatch batch(1, 4, 11, 1);
  batch.tokens[2] = 11;
  EXPECT_THROW(model.forward_backward(batch.view(), 1.0), std::out_of_range);
}

}  // namespace
}  // namespace millrace
