// The plan's bytes against those that ranks moved.
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "model/pass/expert_exchange.h"
#include "model/transformer/transformer.h"
#include "tests/model/test_support.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/orders.h"
#include "trainer/plan/exchange_plan.h"
#include "trainer/plan/expert_slots.h"
#include "trainer/ranked/follow_orders.h"
#include "trainer/ranked/ranked_backend.h"

namespace millrace {
namespace {

constexpr int kRows = 8;
constexpr int kLength = 16;

/// What all ranks together sent for each of the plan's purposes.
class Moved {
 public:
  void add(const std::string& purpose, std::uint64_t bytes) {
    const std::unique_lock lock(mutex_);
    bytes_[purpose] += bytes;
  }
  double of(const std::string& purpose) { return static_cast<double>(bytes_[purpose]); }

 private:
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> bytes_;
};

/// A rank that notes what it sends: what for, by what it says that it does. `world`: that of a group's rank.
class NotingRank : public Communicator {
 public:
  NotingRank(Communicator& ranks, Moved& moved) : ranks_(ranks), moved_(moved) {}
  NotingRank(std::unique_ptr<Communicator> group, Moved& moved, Communicator& world)
      : own_(std::move(group)), ranks_(*own_), moved_(moved), world_(&world) {}

  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  std::unique_ptr<Communicator> group(int color, int key) override {
    return std::make_unique<NotingRank>(ranks_.group(color, key), moved_, *this);
  }
  Pending all_to_all(std::span<const In> to, std::span<const Out> from) override {
    for (int i = 0; i < size(); ++i)
      if (i != rank()) note("experts", to[static_cast<std::size_t>(i)].size());
    return ranks_.all_to_all(to, from);
  }
  Pending all_gather(In mine, std::span<const Out> all) override {
    note("experts", mine.size() * static_cast<std::size_t>(size() - 1));
    return ranks_.all_gather(mine, all);
  }
  Pending send(In bytes, int to) override {
    note(world_ == nullptr ? "messages" : "stages", bytes.size());
    return ranks_.send(bytes, to);
  }
  Pending receive(Out bytes, int from) override { return ranks_.receive(bytes, from); }
  Pending broadcast(Out bytes, int from) override { return ranks_.broadcast(bytes, from); }
  void wait(Pending begun) override { ranks_.wait(begun); }
  const Traffic& traffic() const override { return ranks_.traffic(); }
  std::vector<int> awaited() const override { return ranks_.awaited(); }

 private:
  /// `otherwise`: what it is for if the rank says nothing of the gradients, weights and sums of an update.
  void note(const std::string& otherwise, std::uint64_t bytes) {
    const std::string doing = (world_ == nullptr ? *this : *world_).activity().state().doing;
    for (const char* purpose : {"gradients", "weights", "sums"})
      if (doing.starts_with(purpose)) return add(purpose, otherwise == "messages", bytes);
    moved_.add(otherwise, bytes);
  }

  void add(const std::string& purpose, bool is_message, std::uint64_t bytes) {
    if (is_message && purpose == "weights") return;  // Those that rank 0 gives at the start, not in a step.
    moved_.add(purpose, bytes);
    if (is_message && purpose == "sums") moved_.add("sums of a cut matrix", bytes);
  }

  std::unique_ptr<Communicator> own_;
  Communicator& ranks_;
  Moved& moved_;
  Communicator* world_ = nullptr;
};

struct MovedCase {
  const char* name;
  const char* optimizer;
  ProcessGrid grid;
  bool has_cut_factors = false;  ///< Matrices of which Adafactor's sums go to several owners.
};

class MovedBytes : public testing::TestWithParam<MovedCase> {
 protected:
  MovedBytes() {
    train_.optimizer = GetParam().optimizer;
    train_.batch_rows = kRows;
    train_.micro_rows = 1;
    train_.loss_rows = kRows;
    train_.lanes = 8 / GetParam().grid.expert;
    train_.expert_lanes = GetParam().grid.expert;
    train_.precision = "f32";
    model_.vocab_size = 2048;  // Some matrices are cut, factored ones among them.
  }

  /// A step of the whole.
  void step(Moved& moved) const {
    test::with_ranks(GetParam().grid.ranks(), [&](Communicator& quiet) {
      omp_set_num_threads(1);
      NotingRank all(quiet, moved);
      if (all.rank() != 0) {
        follow_orders(all);
        return;
      }
      {
        RankedBackend backend(all, rank_layout(GetParam().grid, model_, kLength),
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
      }
      give_order(all, {.kind = OrderKind::end});
    });
  }

  ModelConfig model_ = model_preset("openmoe-nano");
  TrainConfig train_;
};

TEST_P(MovedBytes, AreThoseOfThePlan) {
  Moved moved;
  step(moved);
  for (const ExchangePlan& exchange :
       plan_exchanges(read_cluster("cpu-10g"), GetParam().grid, model_, train_, kLength)) {
    const double seen = moved.of(exchange.name);
    if (exchange.name == "weights") {
      EXPECT_EQ(seen, 2 * exchange.bytes()) << "at the start, and after the update";
    } else if (exchange.name == "experts") {
      EXPECT_LE(seen, exchange.bytes()) << "the experts are not full";
      EXPECT_EQ(seen > 0, GetParam().grid.expert > 1);
    } else {
      EXPECT_EQ(seen, exchange.bytes()) << exchange.name;
    }
  }
  EXPECT_EQ(moved.of("sums of a cut matrix") > 0, GetParam().has_cut_factors);
}

std::vector<MovedCase> moved_cases() {
  return {{"Data2", "adafactor", {.data = 2}, true},
          {"Data4", "adafactor", {.data = 4}, true},
          {"Data8", "adafactor", {.data = 8}, true},
          {"Data4AdamW", "adamw", {.data = 4}},
          {"Expert2", "adafactor", {.expert = 2}, true},
          {"Data2Expert2", "adafactor", {.data = 2, .expert = 2}, true},
          {"Pipeline2", "adafactor", {.pipeline = 2}},
          {"Data2Pipeline2AdamW", "adamw", {.data = 2, .pipeline = 2}},
          {"Data2Expert2Pipeline2", "adafactor", {.data = 2, .expert = 2, .pipeline = 2}, true},
          {"Expert4Pipeline2AdamW", "adamw", {.expert = 4, .pipeline = 2}}};
}

INSTANTIATE_TEST_SUITE_P(, MovedBytes, testing::ValuesIn(moved_cases()),
                         [](const auto& one) { return std::string(one.param.name); });

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
