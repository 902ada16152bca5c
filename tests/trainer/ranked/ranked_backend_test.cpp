#include "trainer/ranked/ranked_backend.h"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <omp.h>

#include "model/cpu/cpu_device.h"
#include "model/stop.h"
#include "stages/errors.h"
#include "tests/model/test_support.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/follow_orders.h"

namespace millrace {
namespace {

constexpr int kRows = 16;
constexpr int kLength = 24;
constexpr int kSteps = 3;

/// All that a few steps leave behind: the bytes of losses, scores, norms, values and optimizer state.
using Trained = std::vector<std::byte>;

template <class Value>
void add(Trained& all, std::span<const Value> values) {
  const auto bytes = std::as_bytes(values);
  all.insert(all.end(), bytes.begin(), bytes.end());
}

void add_tensor(Trained& all, const Tensor& tensor) {
  add(all, std::span<const float>(static_cast<const float*>(tensor.data), static_cast<std::size_t>(tensor.size())));
}

/// What is trained, and how.
struct Kind {
  std::string name;
  ModelConfig model;
  TrainConfig train;
};

Kind kind(const std::string& name, const std::function<void(ModelConfig&, TrainConfig&)>& change = {}) {
  Kind kind{name, model_preset("openmoe-micro"), {}};
  kind.model.capacity_rule = CapacityRule::flaxformer;
  kind.train.batch_rows = kRows;
  kind.train.micro_rows = 1;
  kind.train.loss_rows = kRows;
  kind.train.lanes = 8;
  kind.train.precision = "f32";
  if (change) change(kind.model, kind.train);
  return kind;
}

/// In bf16 by plain loops, which any processor has.
std::unique_ptr<Device> device_for(const TrainConfig& train) {
  return train.precision == "bf16" ? std::make_unique<CpuDevice>(Precision::bf16, ProductSource::loops)
                                   : std::make_unique<CpuDevice>(Precision::f32);
}

/// Trains some steps, whose rows depend on nothing but their number.
Trained train_on(TrainingBackend& backend, const Kind& kind) {
  Trained all;
  backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 3, element); });
  backend.values_changed();
  for (int step = 0; step < kSteps; ++step) {
    std::vector<test::RandomBatch> rows;
    for (int i = 0; i < kRows; ++i)
      rows.emplace_back(1, kLength, kind.model.vocab_size, static_cast<std::uint64_t>(100 * step + i));
    const auto micro_batch = [&](std::size_t i) {
      TokenBatch batch = rows[i].view();
      batch.loss_divisor = kLength;
      batch.seed = 5;
      batch.step = static_cast<std::uint64_t>(step);
      batch.first_row = i;
      return batch;
    };
    std::size_t next = 0;
    backend.forward_backward({.count = kRows,
                              .share = 1.0 / kRows,
                              .rows = micro_batch,
                              .done = [&](std::size_t i, const Losses& losses, const TokenScores& scores) {
                                EXPECT_EQ(i, next++);
                                add(all, std::span(&losses.total, 1));
                                for (const RouterStatistics& router : losses.routers)
                                  add(all, std::span<const double>(router.load));
                                add(all, std::span<const float>(scores.cross_entropy));
                                add(all, std::span<const std::uint8_t>(scores.correct));
                              }});
    EXPECT_EQ(next, static_cast<std::size_t>(kRows));
    const double norm = backend.gradient_norm();
    const UpdateNorms norms = backend.update(0.01, norm > 1 ? 1 / norm : 1);
    for (const double number : {norm, norms.values, norms.change}) add(all, std::span(&number, 1));
    if (step == 0) {
      ModelConfig model = kind.model;
      TrainConfig train = kind.train;
      model.router_z_loss_factor *= 2;
      train.weight_decay = 0.2;
      backend.follow(model, train);
    }
  }
  backend.bring_home();
  for (const Parameter& parameter : backend.parameters().all) add_tensor(all, parameter.value);
  for (const StateTensor& tensor : backend.optimizer().state()) add_tensor(all, tensor.data);
  return all;
}

Trained train_alone(const Kind& kind) {
  LocalBackend backend(device_for(kind.train), kind.model, kind.train);
  return train_on(backend, kind);
}

/// `work` has rank 0's backend; the others follow.
void with_backend(int ranks, const Kind& kind, const std::function<void(RankedBackend&)>& work) {
  test::with_ranks(ranks, [&](Communicator& all) {
    omp_set_num_threads(1);
    if (all.rank() != 0) {
      follow_orders(all, {.device = device_for});
      return;
    }
    {
      RankedBackend backend(all, device_for(kind.train), kind.model, kind.train);
      work(backend);
    }
    give_order(all, {.kind = OrderKind::end});
  });
}

Trained train_ranks(int ranks, const Kind& kind) {
  Trained trained;
  with_backend(ranks, kind, [&](RankedBackend& backend) {
    trained = train_on(backend, kind);
    EXPECT_EQ(backend.compute_seconds().size(), static_cast<std::size_t>(ranks));
  });
  return trained;
}

void expect_the_same_bits(const std::vector<Kind>& kinds, const std::vector<int>& ranks) {
  for (const Kind& kind : kinds) {
    const Trained alone = train_alone(kind);
    for (const int count : ranks)
      EXPECT_TRUE(train_ranks(count, kind) == alone) << kind.name << " on " << count << " ranks";
  }
}

Kind adamw_in_bf16() {
  return kind("AdamW in bf16", [](ModelConfig& model, TrainConfig& train) {
    model.dropout_rate = 0.1;
    train.optimizer = "adamw";
    train.precision = "bf16";
    train.expert_lanes = 2;
  });
}

TEST(RankedBackend, GivesTheBitsOfOneRank) {
  expect_the_same_bits({kind("Adafactor in f32")}, {2, 8});
  expect_the_same_bits({adamw_in_bf16()}, {4});
}

TEST(RankedBackend, GivesTheBitsOfOneRankWhateverIsTrainedLong) {
  std::vector<Kind> kinds{adamw_in_bf16()};
  for (const char* const optimizer : {"adafactor", "adamw"})
    for (const std::string& precision : {std::string("f32"), std::string("bf16")})
      for (const int expert_lanes : {1, 2})
        for (const CapacityRule rule : {CapacityRule::flaxformer, CapacityRule::colossalai, CapacityRule::dropless})
          for (const bool recompute : {false, true})
            kinds.push_back(kind(std::string(optimizer) + " " + precision + (recompute ? " recompute" : ""),
                                 [&](ModelConfig& model, TrainConfig& train) {
                                   model.capacity_rule = rule;
                                   train.optimizer = optimizer;
                                   train.precision = precision;
                                   train.expert_lanes = expert_lanes;
                                   train.recompute = recompute;
                                 }));
  expect_the_same_bits(kinds, {1, 2, 4, 8});
}

/// The micro-batches of a step, all alike.
MicroBatches alike(const test::RandomBatch& rows, const std::function<void(std::size_t)>& asked = {}) {
  return {.count = kRows,
          .share = 1.0 / kRows,
          .rows =
              [&rows, asked](std::size_t i) {
                if (asked) asked(i);
                return rows.view();
              },
          .done = [](std::size_t, const Losses&, const TokenScores&) {}};
}

TEST(RankedBackend, RefusesAnUpdateOnAllRanksAndGoesOn) {
  const Kind run = kind("Adafactor");
  const test::RandomBatch rows(1, kLength, run.model.vocab_size, 3);
  with_backend(2, run, [&](RankedBackend& backend) {
    backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
    backend.values_changed();
    backend.forward_backward(alike(rows));
    backend.gradient_norm();
    EXPECT_THROW(backend.update(1e38, 1), NotFiniteUpdate);
    backend.forward_backward(alike(rows));
    backend.gradient_norm();
    EXPECT_GT(backend.update(0.01, 1).change, 0);
  });
}

TEST(RankedBackend, StopsOnAllRanksAndCanGoOn) {
  const Kind run = kind("Adafactor");
  const test::RandomBatch rows(1, kLength, run.model.vocab_size, 3);
  with_backend(4, run, [&](RankedBackend& backend) {
    backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
    backend.values_changed();
    EXPECT_THROW(backend.forward_backward(alike(rows,
                                                [](std::size_t i) {
                                                  if (i == 3) request_stop();
                                                })),
                 Stopped);
    withdraw_stop();
    backend.bring_home();
    backend.forward_backward(alike(rows));
    EXPECT_GT(backend.gradient_norm(), 0);
  });
}

}  // namespace
}  // namespace millrace
