#include "model/transformer/generator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "model/device/few_rows.h"
#include "model/device/kernel_attention.h"
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

/// Stands in for a card: it counts what it does and what it is given for it, and plays recordings as they were made,
/// whatever the host knows by then.
class CountedCard : public CpuDevice {
 public:
  struct Work {
    int kernels = 0, products = 0, attentions = 0, allocations = 0, clears = 0;
    int given = 0;  ///< Calls, a recording as one.
    std::size_t up = 0, down = 0, downs = 0;
    std::set<const void*> experts;  ///< Whose weights products read.
    bool operator==(const Work&) const = default;
  };
  CountedCard() : CpuDevice(Precision::f32, ProductSource::loops) {}

  Work taken() { return std::exchange(work_, {}); }

  void* allocate(std::size_t bytes) override {
    refuse_if_recording();
    ++work_.allocations;
    return CpuDevice::allocate(bytes);
  }
  void to_device(void* to, const void* from, std::size_t bytes) override {
    refuse_if_recording();
    work_.up += bytes;
    CpuDevice::to_device(to, from, bytes);
  }
  void to_host(void* to, const void* from, std::size_t bytes) override {
    refuse_if_recording();
    work_.down += bytes;
    ++work_.downs;
    CpuDevice::to_host(to, from, bytes);
  }
  void run(const AnyKernel& kernel, Index blocks) override {
    give([this, kernel, blocks] {
      ++work_.kernels;
      CpuDevice::run(kernel, blocks);
    });
  }
  void multiply(const Product& product) override {
    give([this, product] { do_multiply(product); });
  }
  void attend(const AttentionCall& call) override {
    give([this, call] {
      ++work_.attentions;
      attention_.attend(call);
    });
  }
  bool has_ragged_products() const override { return false; }
  bool takes_ragged_rows(Index rows) const override { return rows <= kMostFewRows; }
  bool reads_host_memory() const override { return false; }

  std::unique_ptr<Recording> record(std::function<void()> work) override {
    auto recording = std::make_unique<Pieces>();
    recording->card = this;
    recording_ = &recording->pieces;
    work();
    recording_ = nullptr;
    return recording;
  }

 private:
  struct Pieces : Recording {
    CountedCard* card = nullptr;
    std::vector<std::function<void()>> pieces;
    void play() override {
      ++card->work_.given;
      ++card->depth_;
      for (const auto& piece : pieces) piece();
      --card->depth_;
    }
  };

  void give(std::function<void()> piece) {
    if (recording_ != nullptr) return recording_->push_back(std::move(piece));
    work_.given += depth_ == 0 ? 1 : 0;
    ++depth_;
    piece();
    --depth_;
  }
  void do_multiply(const Product& product) {
    ++work_.products;
    for (Index e = 0; batch_of(product) > 1 && e < batch_of(product); ++e)
      if (product.ragged != Product::Ragged::rows || product.first[e + 1] > product.first[e])
        work_.experts.insert(product.b.entry(e).data);
    if (has_few_rows(product)) return multiply_few_rows(*this, product);
    CpuDevice::multiply(product);
  }
  void refuse_if_recording() const {
    if (recording_ != nullptr) throw std::logic_error("neither copies nor memory are recorded");
  }

  Work work_;
  std::vector<std::function<void()>>* recording_ = nullptr;
  int depth_ = 0;  ///< Of work that other work gives.
  KernelAttention attention_{*this};
};

ModelConfig with_places_for_all() {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  config.router_capacity_factor_eval = 100;
  return config;
}

/// The model's weights there.
std::unique_ptr<ParameterMemory> copied_to(Device& device, const ModelConfig& config, const Parameters& from) {
  auto memory = std::make_unique<ParameterMemory>(device, config, ParameterMemory::Gradients::none);
  for (std::size_t i = 0; i < from.all.size(); ++i) {
    const Tensor to = memory->views().all[i].value;
    device.to_device(to.data, from.all[i].value.data, static_cast<std::size_t>(to.size()) * sizeof(float));
  }
  return memory;
}

TEST(Generator, OnACardGivesTheLogitsOfAWholeForwardPassOfTheProcessor) {
  const ModelConfig config = with_places_for_all();
  const auto memory = random_parameters<float>(config, 3);
  Transformer model(*memory.device, config, memory.views());
  CountedCard card;
  const auto there = copied_to(card, config, memory.views());
  Generator generator(card, config, there->views(), 100);
  for (const int length : {1, 2, 7, 40}) {
    RandomBatch batch(1, length, config.vocab_size, 4);
    batch.tokens[0] = 3;
    const Trace trace = model.trace(batch.view(), Mode::eval);
    const std::vector<float> logits = generator.logits_after(batch.tokens);
    for (std::size_t v = 0; v < logits.size(); ++v)
      EXPECT_NEAR(logits[v], trace.logits[trace.logits.size() - logits.size() + v], 2e-4) << length << " " << v;
  }
}

TEST(Generator, OnACardReadsATokensExpertsAloneAndBringsBackItsLogits) {
  const ModelConfig config = with_places_for_all();
  const auto memory = random_parameters<float>(config, 3);
  CountedCard card;
  const auto there = copied_to(card, config, memory.views());
  Generator generator(card, config, there->views(), 60);
  card.taken();
  std::vector<CountedCard::Work> steps;
  generator.generate({0, 5, 9}, 50, config.vocab_size, {}, [&](std::int32_t) {
    steps.push_back(card.taken());
    return true;
  });
  ASSERT_EQ(steps.size(), 50U);
  int moe_layers = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) moe_layers += config.is_moe_layer(layer) ? 1 : 0;
  // Of the prompt, which the first tells of, more experts.
  for (std::size_t i = 1; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].experts.size(), static_cast<std::size_t>(3 * config.router_topk * moe_layers));
    EXPECT_EQ(steps[i].down, static_cast<std::size_t>(config.vocab_size) * sizeof(float));
    EXPECT_EQ(steps[i].downs, 1U);
    EXPECT_LT(steps[i].up, 100U);
    EXPECT_EQ(steps[i].allocations, i == 1 ? steps[1].allocations : 0);
    EXPECT_EQ(steps[i].kernels, steps[1].kernels);
    EXPECT_EQ(steps[i].products, steps[1].products);
    EXPECT_EQ(steps[i].attentions, config.num_hidden_layers);
    EXPECT_EQ(i > 1 ? steps[i].given : 1, 1) << "the same work is given as one";
  }
  EXPECT_LE(steps[1].kernels, 20 * config.num_hidden_layers + 10);
}

/// Text after text, of which each makes its own memory: what was recorded of one is not played for another.
TEST(Generator, OnACardBeginsAnotherTextWithALongerPrompt) {
  const ModelConfig config = with_places_for_all();
  const auto memory = random_parameters<float>(config, 3);
  CountedCard card;
  const auto there = copied_to(card, config, memory.views());
  Generator one(card, config, there->views(), 90);
  for (const int length : {6, 40, 90, 8, 1, 12}) {
    const RandomBatch batch(1, length, config.vocab_size, 4);
    Generator fresh(card, config, there->views(), 90);
    EXPECT_EQ(one.logits_after(batch.tokens), fresh.logits_after(batch.tokens)) << length;
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

/// The draw's number in [0, 1): two rounds of splitmix64's finaliser.
double uniform_of(std::uint64_t seed, std::uint64_t draw) {
  constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15U;
  std::uint64_t bits = seed + kStep;
  for (int round = 0; round < 2; ++round) {
    if (round == 1) bits += draw * kStep;
    bits = (bits ^ (bits >> 30U)) * 0xbf58476d1ce4e5b9U;
    bits = (bits ^ (bits >> 27U)) * 0x94d049bb133111ebU;
    bits ^= bits >> 31U;
  }
  return static_cast<double>(bits >> 11U) * 0x1p-53;
}

/// By the definition: all ids sorted, all weights added up from the largest on.
std::int32_t sampled_by_definition(const std::vector<float>& logits, int allowed, const SamplingOptions& options,
                                   std::uint64_t draw) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(allowed));
  std::iota(ids.begin(), ids.end(), 0);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::ranges::stable_sort(ids, [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  const float largest = logit(ids[0]);
  if (options.top_k > 0 && options.top_k < allowed) ids.resize(static_cast<std::size_t>(options.top_k));
  std::vector<double> weights;
  double sum = 0;
  for (const std::int32_t id : ids) {
    weights.push_back(std::exp(static_cast<double>(logit(id) - largest) / options.temperature));
    sum += weights.back();
  }
  double kept = 0;
  std::size_t count = 0;
  while (count < ids.size() && (count == 0 || kept < options.top_p * sum)) kept += weights[count++];
  double left = uniform_of(options.seed, draw) * kept;
  for (std::size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  return ids[count - 1];
}

/// However few are looked at: peaked logits, flat ones, ties, and options that cut.
TEST(Sampling, DrawsAsFromAllIdsInOrder) {
  int compared = 0;
  for (const float spread : {0.0F, 0.5F, 8.0F, 60.0F}) {
    std::vector<float> logits(5000);
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = spread * std::sin(static_cast<float>(i * i % 1237));  // Each value several times.
    for (const int top_k : {0, 1, 3, 700}) {
      for (const double top_p : {1.0, 0.9, 0.2}) {
        SamplingOptions options;
        options.temperature = 0.7;
        options.top_k = top_k;
        options.top_p = top_p;
        for (std::uint64_t draw = 0; draw < 3; ++draw, ++compared)
          ASSERT_EQ(sample(logits, 4990, options, draw), sampled_by_definition(logits, 4990, options, draw))
              << spread << " " << top_k << " " << top_p << " " << draw;
      }
    }
  }
  EXPECT_EQ(compared, 144);
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
