// The plan's bytes against those that ranks moved.
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "model/pass/expert_exchange.h"
#include "model/transformer/transformer.h"
#include "tests/model/test_support.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/orders.h"
#include "trainer/optimizer/make_optimizer.h"
#include "trainer/plan/exchange_plan.h"
#include "trainer/plan/expert_slots.h"
#include "trainer/ranked/follow_orders.h"
#include "trainer/ranked/ownership.h"
#include "trainer/ranked/part_sums.h"
#include "trainer/ranked/ranked_backend.h"

namespace millrace {
namespace {

constexpr int kRows = 8;
constexpr int kLength = 16;

/// What all ranks together sent.
struct Moved {
  std::atomic<std::uint64_t> all_to_all = 0;
  std::atomic<std::uint64_t> all_gather = 0;
  std::atomic<std::uint64_t> send = 0;

  void add(const Traffic& traffic) {
    all_to_all += traffic.of(Operation::all_to_all).sent;
    all_gather += traffic.of(Operation::all_gather).sent;
    send += traffic.of(Operation::send).sent;
  }
};

class MovedBytes : public testing::TestWithParam<const char*> {
 protected:
  MovedBytes() {
    train_.optimizer = GetParam();
    train_.batch_rows = kRows;
    train_.micro_rows = 1;
    train_.loss_rows = kRows;
    train_.lanes = 8;
    train_.precision = "f32";
    model_.vocab_size = 2048;  // Some matrices are cut, factored ones among them.
  }
  double planned(int ranks, const std::string& name) const {
    for (const ExchangePlan& exchange :
         plan_exchanges(read_cluster("cpu-10g"), {.data = ranks}, model_, train_, kLength))
      if (exchange.name == name) return exchange.bytes();
    ADD_FAILURE() << name;
    return 0;
  }

  /// A step of the whole.
  void step(int ranks, Moved& moved) const {
    test::with_ranks(ranks, [&](Communicator& all) {
      omp_set_num_threads(1);
      if (all.rank() != 0) {
        follow_orders(all);
        moved.add(all.traffic());
        return;
      }
      {
        RankedBackend backend(all, rank_layout({.data = all.size()}, model_, kLength),
                              std::make_unique<CpuDevice>(Precision::f32), model_, train_);
        backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
        backend.values_changed();
        const test::RandomBatch rows(1, kLength, model_.vocab_size, 3);
        backend.forward_backward({.count = kRows,
                                  .share = 1.0 / kRows,
                                  .rows = [&](std::size_t) { return rows.view(); },
                                  .done = [](std::size_t, const Losses&, const TokenScores&) {}});
        backend.gradient_norm();
        backend.update(0.01, 1);
        moved.add(all.traffic());
      }
      give_order(all, {.kind = OrderKind::end});
    });
  }

  /// The same of the optimizers alone.
  void update(int ranks, Moved& moved) const {
    const std::vector<ParameterSpec> specs = parameter_specs(model_);
    const auto owners = ownership(specs, ranks);
    test::with_ranks(ranks, [&](Communicator& all) {
      omp_set_num_threads(1);
      CpuDevice device(Precision::f32);
      ParameterMemory memory(device, specs, ParameterMemory::Gradients::allocated);
      memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
      PartSums sums(all, specs, owners);
      const auto optimizer =
          make_optimizer(train_, device, memory.views(), {owners[static_cast<std::size_t>(all.rank())], &sums});
      optimizer->gradient_norm();
      optimizer->update(1e-6, 1);
      moved.add(all.traffic());
    });
  }

  ModelConfig model_ = model_preset("openmoe-nano");
  TrainConfig train_;
};

TEST_P(MovedBytes, AreThoseOfThePlan) {
  for (const int ranks : {2, 4, 8}) {
    Moved whole;
    Moved sums;
    step(ranks, whole);
    update(ranks, sums);
    EXPECT_EQ(static_cast<double>(whole.all_to_all), planned(ranks, "gradients")) << ranks;
    EXPECT_EQ(static_cast<double>(sums.all_gather + sums.send), planned(ranks, "sums")) << ranks;
    // At the start, and after the update.
    EXPECT_EQ(static_cast<double>(whole.all_gather - sums.all_gather), 2 * planned(ranks, "weights")) << ranks;
    EXPECT_EQ(sums.send > 0, std::string(GetParam()) == "adafactor");
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, MovedBytes, testing::Values("adafactor", "adamw"));

/// Experts' members over ranks.
class AmongRanks : public ExpertExchange {
 public:
  explicit AmongRanks(Communicator& ranks) : ranks_(ranks) {}
  Index members() const override { return ranks_.size(); }
  Index member() const override { return ranks_.rank(); }
  void gather(In mine, Out all) override {
    std::vector<Out> places;
    for (std::size_t first = 0; first < all.size(); first += mine.size())
      places.push_back(all.subspan(first, mine.size()));
    ranks_.wait(ranks_.all_gather(mine, places));
  }
  void swap(std::span<const In> to, std::span<const Out> from) override { ranks_.wait(ranks_.all_to_all(to, from)); }

 private:
  Communicator& ranks_;
};

struct SharedCase {
  const char* name;
  const char* precision;
  bool recompute;
  double dropout;
};

class SharedExpertsBytes : public testing::TestWithParam<SharedCase> {};

/// Each rank's bytes, from the slots that its routers and those of the others filled.
TEST_P(SharedExpertsBytes, AreThoseOfThePlan) {
  const SharedCase& of = GetParam();
  ModelConfig model = model_preset("openmoe-nano");
  model.vocab_size = 512;
  model.num_experts = 8;
  model.dropout_rate = of.dropout;
  TrainConfig train;
  train.precision = of.precision;
  train.recompute = of.recompute;
  const Precision precision = train.precision == "bf16" ? Precision::bf16 : Precision::f32;
  for (const int members : {2, 4}) {
    const int each = model.num_experts / members;
    const auto count = static_cast<std::size_t>(members);
    // Slots by layer, then from whom, then to whom.
    std::map<int, std::vector<std::vector<double>>> slots;
    std::mutex mutex;
    std::vector<double> sent(count);
    test::with_ranks(members, [&](Communicator& all) {
      omp_set_num_threads(1);
      const auto own = static_cast<std::size_t>(all.rank());
      CpuDevice device(precision);
      ParameterMemory memory(device, parameter_specs(model, all_layers(model), {all.rank() * each, each}),
                             ParameterMemory::Gradients::allocated);
      memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 1, element); });
      memory.round_values();
      Transformer transformer(device, model, memory.views(), of.recompute ? Recompute::yes : Recompute::no);
      AmongRanks exchange(all);
      transformer.share_experts(&exchange);
      transformer.observe([&](const LayerRouting& routing) {
        std::vector<double> pairs(static_cast<std::size_t>(model.num_experts));
        for (std::size_t i = 0; i < routing.expert.size(); ++i)
          if (routing.place[i] >= 0) ++pairs[static_cast<std::size_t>(routing.expert[i])];
        const std::unique_lock lock(mutex);
        auto& of_layer = slots[routing.layer];
        of_layer.resize(count, std::vector<double>(count));
        for (int expert = 0; expert < model.num_experts; ++expert)
          of_layer[own][static_cast<std::size_t>(expert / each)] +=
              slots_for(train, pairs[static_cast<std::size_t>(expert)]);
      });
      const test::RandomBatch batch(2, 24, model.vocab_size, static_cast<std::uint64_t>(own));
      TokenBatch rows = batch.view();
      rows.first_row = 2 * own;
      transformer.forward_backward(rows, 1, nullptr);
      sent[own] = static_cast<double>(all.traffic().of(Operation::all_to_all).sent +
                                      all.traffic().of(Operation::all_gather).sent);
    });
    ASSERT_FALSE(slots.empty());
    for (std::size_t own = 0; own < count; ++own) {
      double planned = 0;
      for (const auto& [layer, from] : slots) {
        ExpertSlots here;
        for (std::size_t other = 0; other < count; ++other) {
          if (other == own) continue;
          here.sent += from[own][other];
          here.taken += from[other][own];
        }
        planned += expert_bytes(model, train, members, here, forward_passes(model, train, layer));
      }
      EXPECT_EQ(sent[own], planned) << members << " members, " << own;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, SharedExpertsBytes,
                         testing::Values(SharedCase{"F32", "f32", false, 0}, SharedCase{"Bf16", "bf16", false, 0},
                                         SharedCase{"Recomputed", "bf16", true, 0},
                                         SharedCase{"Dropped", "f32", true, 0.1}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace millrace
