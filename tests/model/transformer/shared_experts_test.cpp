#include <barrier>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "model/pass/expert_exchange.h"
#include "model/transformer/transformer.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using test::RandomBatch;

constexpr double kShareOfStep = 0.5;
constexpr int kRounds = 2;

/// Members as threads: each sees what the others hold up.
class MeetingTable {
 public:
  explicit MeetingTable(std::size_t members)
      : to(members), mine(members), all_here_(static_cast<std::ptrdiff_t>(members)) {}
  void meet() { all_here_.arrive_and_wait(); }

  std::vector<std::span<const ExpertExchange::In>> to;
  std::vector<ExpertExchange::In> mine;

 private:
  std::barrier<> all_here_;
};

class AtTable : public ExpertExchange {
 public:
  AtTable(MeetingTable& table, std::size_t member) : table_(table), member_(member) {}
  Index members() const override { return static_cast<Index>(table_.mine.size()); }
  Index member() const override { return static_cast<Index>(member_); }
  void gather(In mine, Out all) override {
    table_.mine[member_] = mine;
    table_.meet();
    for (const In& bytes : table_.mine) {
      std::memcpy(all.data(), bytes.data(), bytes.size());
      all = all.subspan(bytes.size());
    }
    table_.meet();
    EXPECT_TRUE(all.empty());
  }
  void swap(std::span<const In> to, std::span<const Out> from) override {
    table_.to[member_] = to;
    table_.meet();
    for (std::size_t i = 0; i < from.size(); ++i) {
      const In& came = table_.to[i][member_];
      ASSERT_EQ(came.size(), from[i].size());
      if (!came.empty()) std::memcpy(from[i].data(), came.data(), came.size());
    }
    table_.meet();
  }

 private:
  MeetingTable& table_;
  std::size_t member_;
};

struct SharingCase {
  std::string name;
  Precision precision = Precision::f32;
  CapacityRule rule = CapacityRule::flaxformer;
  Recompute recompute = Recompute::no;
  double dropout = 0;
};

ModelConfig eight_experts(const SharingCase& of) {
  ModelConfig config = model_preset("openmoe-micro");
  config.num_experts = 8;
  config.capacity_rule = of.rule;
  config.router_min_capacity = 1;
  config.dropout_rate = of.dropout;
  return config;
}

TokenBatch of_step(const RandomBatch& batch, std::size_t micro_batch) {
  TokenBatch view = batch.view();
  view.seed = 9;
  view.step = 4;
  view.first_row = micro_batch * static_cast<std::size_t>(batch.rows);
  return view;
}

/// A model with all experts, or some, and what it computes with.
struct Member {
  std::unique_ptr<CpuDevice> device;
  ParameterMemory memory;
  Transformer model;

  Member(const ModelConfig& config, const SharingCase& of, const ExpertRange& experts)
      : device(std::make_unique<CpuDevice>(of.precision)),
        memory(*device, parameter_specs(config, all_layers(config), experts), ParameterMemory::Gradients::allocated),
        model(*device, config, memory.views(), of.recompute) {
    memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 1, element); });
    memory.round_values();
  }
  std::vector<std::byte> gradients(bool of_experts, const ExpertRange& range) const {
    std::vector<std::byte> all;
    for (const Parameter& parameter : memory.views().all) {
      if (parameter.spec.per_expert != of_experts) continue;
      Tensor part = parameter.gradient;
      if (of_experts) {
        part = part.entry(range.first);
        part.batch = range.count;
      }
      const auto* first = static_cast<const std::byte*>(part.data);
      all.insert(all.end(), first, first + static_cast<std::size_t>(part.size()) * bytes_of(part.type));
    }
    return all;
  }
};

/// What one micro-batch gave.
struct OnePass {
  Losses losses;
  TokenScores scores;
  std::vector<std::byte> shared;  ///< The gradients of all but the experts.
};

OnePass pass_over(Member& part, const TokenBatch& batch) {
  for (const Parameter& parameter : part.memory.views().all)
    if (!parameter.spec.per_expert)
      std::memset(parameter.gradient.data, 0,
                  static_cast<std::size_t>(parameter.gradient.size()) * bytes_of(parameter.gradient.type));
  OnePass given;
  given.losses = part.model.forward_backward(batch, kShareOfStep, &given.scores);
  given.shared = part.gradients(false, {});
  return given;
}

void expect_same_pass(const OnePass& one, const OnePass& other) {
  EXPECT_EQ(one.losses.total, other.losses.total);
  EXPECT_EQ(one.losses.aux_loss, other.losses.aux_loss);
  EXPECT_EQ(one.losses.router_z_loss, other.losses.router_z_loss);
  EXPECT_EQ(one.scores.cross_entropy, other.scores.cross_entropy);
  EXPECT_TRUE(one.shared == other.shared);
}

class SharedExperts : public testing::TestWithParam<SharingCase> {};

TEST_P(SharedExperts, GiveTheBitsOfExpertsThatAreInOnePlace) {
  const SharingCase& of = GetParam();
  const ModelConfig config = eight_experts(of);
  for (const std::size_t members : {1U, 2U, 4U, 8U}) {
    SCOPED_TRACE(members);
    const std::size_t count = members * kRounds;
    std::vector<RandomBatch> batches;
    for (std::size_t i = 0; i < count; ++i) batches.emplace_back(2, 24, config.vocab_size, i);

    Member whole(config, of, {0, config.num_experts});
    whole.memory.zero_gradients();
    std::vector<OnePass> expected;
    for (std::size_t i = 0; i < count; ++i) expected.push_back(pass_over(whole, of_step(batches[i], i)));
    const std::vector<float> scored = whole.model.score(of_step(batches[0], 0)).cross_entropy;

    MeetingTable table(members);
    std::vector<std::thread> threads;
    for (std::size_t member = 0; member < members; ++member) {
      threads.emplace_back([&, member] {
        const int each = config.num_experts / static_cast<int>(members);
        const ExpertRange own{static_cast<int>(member) * each, each};
        Member part(config, of, own);
        part.memory.zero_gradients();
        AtTable exchange(table, member);
        part.model.share_experts(&exchange);
        for (std::size_t round = 0; round < kRounds; ++round) {
          const std::size_t i = round * members + member;
          expect_same_pass(pass_over(part, of_step(batches[i], i)), expected[i]);
        }
        EXPECT_TRUE(part.gradients(true, {0, each}) == whole.gradients(true, own));
        EXPECT_EQ(part.model.score(of_step(batches[0], 0)).cross_entropy, scored);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

INSTANTIATE_TEST_SUITE_P(
    , SharedExperts,
    testing::Values(
        SharingCase{.name = "Flaxformer"}, SharingCase{.name = "Colossalai", .rule = CapacityRule::colossalai},
        SharingCase{.name = "Dropless", .rule = CapacityRule::dropless},
        SharingCase{.name = "Bf16", .precision = Precision::bf16},
        SharingCase{.name = "Bf16Colossalai", .precision = Precision::bf16, .rule = CapacityRule::colossalai},
        SharingCase{.name = "F64", .precision = Precision::f64},
        SharingCase{.name = "RunAgain", .recompute = Recompute::yes}, SharingCase{.name = "Dropout", .dropout = 0.3},
        SharingCase{
            .name = "DropoutBf16RunAgain", .precision = Precision::bf16, .recompute = Recompute::yes, .dropout = 0.3}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace millrace
