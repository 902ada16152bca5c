#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/transformer/transformer.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using test::random_parameters;
using test::RandomBatch;
using test::Weights;

constexpr double kScale = 0.5;

/// Four layers, of which the second and the fourth have experts.
ModelConfig four_layers() {
  ModelConfig config = model_preset("openmoe-micro");
  config.num_hidden_layers = 4;
  return config;
}

std::vector<float> gradients_of(const Parameters& parameters) {
  std::vector<float> all;
  for (const Parameter& parameter : parameters.all) {
    const auto numbers = test::numbers_of<float>(parameter.gradient);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

void expect_same_bits(const std::vector<float>& one, const std::vector<float>& other) {
  ASSERT_EQ(one.size(), other.size());
  EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * sizeof(float)), 0);
}

/// Batches of different lengths, and what passes over them, one after the other, give.
struct Reference {
  ModelConfig config = four_layers();
  std::vector<RandomBatch> batches;
  Weights weights = random_parameters<float>(config, 3);
  std::vector<Losses> losses;
  std::vector<TokenScores> scores;

  Reference() {
    for (int i = 0; i < 3; ++i) batches.emplace_back(2, 20 + 5 * i, config.vocab_size, static_cast<std::uint64_t>(i));
    Transformer model(*weights.device, config, weights.views());
    for (const RandomBatch& batch : batches)
      losses.push_back(model.forward_backward(batch.view(), kScale, &scores.emplace_back()));
  }
};

/// A stage with weights, a device and memory of its own.
struct Stage {
  LayerRange layers;
  std::unique_ptr<CpuDevice> device = std::make_unique<CpuDevice>(Precision::f32);
  ParameterMemory memory;
  Transformer model;
  std::vector<Activations> kept;

  Stage(const Reference& whole, const LayerRange& range, Recompute recompute)
      : layers(range),
        memory(*device, parameter_specs(whole.config, range), ParameterMemory::Gradients::allocated),
        model(*device, whole.config, memory.views(), recompute, range) {
    for (const Parameter& parameter : memory.views().all) {
      const Parameter& from = whole.weights.views().named(parameter.spec.name);
      std::memcpy(parameter.value.data, from.value.data,
                  static_cast<std::size_t>(parameter.spec.size()) * sizeof(float));
    }
    for (std::size_t i = 0; i < whole.batches.size(); ++i) kept.emplace_back(model);
  }
};

class Stages : public testing::TestWithParam<Recompute> {};

TEST_P(Stages, GiveTheBitsOfTheWholeModelWithAllMicroBatchesInWorkAtOnce) {
  const Reference whole;
  std::deque<Stage> stages;
  for (const LayerRange range : {LayerRange{0, 1}, LayerRange{1, 2}, LayerRange{2, 4}})
    stages.emplace_back(whole, range, GetParam());

  for (std::size_t i = 0; i < whole.batches.size(); ++i) {
    Tensor h;
    for (Stage& stage : stages) h = stage.model.forward(whole.batches[i].view(), h, stage.kept[i]);
  }
  for (std::size_t i = 0; i < whole.batches.size(); ++i) {
    Tensor gradient;
    double aux_loss = 0;
    TokenScores scores;
    for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage) {
      gradient = stage->model.backward(gradient, kScale, stage->kept[i], stage->layers.end == 4 ? &scores : nullptr);
      aux_loss += stage->model.losses().aux_loss;
    }
    EXPECT_FALSE(gradient);
    EXPECT_EQ(stages.back().model.losses().ce, whole.losses[i].ce);
    EXPECT_DOUBLE_EQ(aux_loss, whole.losses[i].aux_loss);
    EXPECT_EQ(scores.cross_entropy, whole.scores[i].cross_entropy);
  }
  std::vector<float> together;
  for (const Stage& stage : stages) {
    const std::vector<float> own = gradients_of(stage.memory.views());
    together.insert(together.end(), own.begin(), own.end());
  }
  expect_same_bits(together, gradients_of(whole.weights.views()));
}

INSTANTIATE_TEST_SUITE_P(, Stages, testing::Values(Recompute::no, Recompute::yes),
                         [](const auto& of) { return of.param == Recompute::no ? "Kept" : "RunAgain"; });

TEST(Transformer, TellsOfALayerWhenItsGradientsAreComplete) {
  const Reference whole;
  Stage stage(whole, all_layers(whole.config), Recompute::no);
  stage.model.forward(whole.batches[0].view(), {}, stage.kept[0]);
  std::vector<int> told;
  std::vector<std::vector<float>> then;
  const auto of_layer = [&](int layer) {
    std::vector<float> numbers;
    for (const Parameter& parameter : stage.memory.views().all) {
      if (parameter.spec.layer != layer) continue;
      const auto own = test::numbers_of<float>(parameter.gradient);
      numbers.insert(numbers.end(), own.begin(), own.end());
    }
    return numbers;
  };
  stage.model.backward({}, kScale, stage.kept[0], nullptr, [&](int layer) {
    told.push_back(layer);
    then.push_back(of_layer(layer));
  });
  EXPECT_EQ(told, (std::vector<int>{4, 3, 2, 1, 0, ParameterSpec::kEmbedding}));
  for (std::size_t i = 0; i < told.size(); ++i) {
    SCOPED_TRACE(told[i]);
    expect_same_bits(then[i], of_layer(told[i]));
    EXPECT_TRUE(std::ranges::any_of(then[i], [](float number) { return number != 0; }));
  }
}

TEST(Transformer, ShowsTheRoutingOfEveryForwardPass) {
  const Reference whole;
  const Weights& weights = whole.weights;
  Transformer model(*weights.device, whole.config, weights.views(), Recompute::yes);
  std::vector<int> layers;
  std::int64_t kept = 0;
  model.observe([&](const LayerRouting& routing) {
    layers.push_back(routing.layer);
    ASSERT_EQ(routing.expert.size(), routing.place.size());
    ASSERT_EQ(static_cast<Index>(routing.expert.size()), routing.logits.rows * routing.choices);
    for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
      const auto* row = routing.probabilities.row<float>(static_cast<Index>(pair) / routing.choices);
      if (static_cast<Index>(pair) % routing.choices == 0) {
        EXPECT_EQ(row[routing.expert[pair]], *std::max_element(row, row + routing.probabilities.columns));
      }
      kept += routing.place[pair] >= 0;
    }
  });
  const Losses& losses = model.forward_backward(whole.batches[0].view(), kScale);
  EXPECT_EQ(layers, (std::vector<int>{1, 3}));
  EXPECT_EQ(kept, losses.routers[0].kept + losses.routers[1].kept);
  model.score(whole.batches[1].view());
  EXPECT_EQ(layers.size(), 4U);
  model.observe({});
  model.score(whole.batches[1].view());
  EXPECT_EQ(layers.size(), 4U);
}

TEST(ParameterSpecs, OfStagesAreThoseOfTheWholeModelInOrder) {
  const ModelConfig config = four_layers();
  const std::vector<ParameterSpec> all = parameter_specs(config);
  std::vector<ParameterSpec> together;
  for (const LayerRange range : {LayerRange{0, 2}, LayerRange{2, 3}, LayerRange{3, 4}})
    for (const ParameterSpec& spec : parameter_specs(config, range)) together.push_back(spec);
  ASSERT_EQ(together.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(together[i].name, all[i].name);
    EXPECT_EQ(together[i].number, i);
  }
}

}  // namespace
}  // namespace millrace
