#include "trainer/ranked/ranked_backend.h"

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "model/stop.h"
#include "stages/errors.h"
#include "tests/model/test_support.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/ranked/ranked_kinds.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/ranked/ranked_saver.h"

namespace millrace {
namespace {

constexpr int kSteps = 3;
constexpr std::uint64_t kMostBytes = 1 << 14;  ///< Of a file of a checkpoint: several.

/// All that a few steps leave behind: the bytes of losses, scores, norms, values and optimizer state.
using Trained = std::vector<std::byte>;

template <class Value>
void add(Trained& all, std::span<const Value> values) {
  const auto bytes = std::as_bytes(values);
  all.insert(all.end(), bytes.begin(), bytes.end());
}

/// The tensors of a checkpoint, in the order of their names.
void add_saved(Trained& all, TrainingBackend& backend, const ModelConfig& model) {
  const TemporaryFolder folder;
  UnigramCounts unigram(model.vocab_size);
  TrainState state;
  std::unique_ptr<CheckpointSaver> saver;
  if (auto* const ranked = dynamic_cast<RankedBackend*>(&backend)) {
    const std::vector<std::string> hosts(backend.compute_seconds().size(), "node1");
    saver = std::make_unique<RankedSaver>(*ranked, hosts, folder.path(), KeepRule{}, CheckpointTexts{}, kMostBytes);
  } else {
    saver = std::make_unique<CheckpointWriter>(folder.path(), KeepRule{});
  }
  saver->begin({model, backend, unigram, state}, RunIdentity{}, [] {});
  const std::optional<CheckpointSaver::Outcome> outcome = saver->wait();
  ASSERT_TRUE(outcome);
  ASSERT_EQ(outcome->error, "");
  for (const TensorFileNames& names : {kModelFiles, kOptimizerFiles}) {
    const TensorFiles saved(outcome->folder, names);
    for (const auto& [name, located] : saved.tensors())
      add(all, std::span<const std::byte>(located.tensor.data, located.tensor.bytes()));
  }
}

/// Batches of an evaluation, the last of them shorter.
void add_scores(Trained& all, TrainingBackend& backend, const Kind& kind) {
  std::vector<test::RandomBatch> rows;
  for (int i = 0; i < 5; ++i)
    rows.emplace_back(i < 4 ? 2 : 1, kLength, kind.model.vocab_size, static_cast<std::uint64_t>(1000 + i));
  std::size_t next = 0;
  backend.score({.count = rows.size(),
                 .rows = [&](std::size_t i) { return rows[i].view(); },
                 .done =
                     [&](std::size_t i, const TokenBatch& batch, const TokenScores& scores) {
                       EXPECT_EQ(i, next++);
                       EXPECT_EQ(batch.tokens[0], rows[i].view().tokens[0]);
                       add(all, std::span<const float>(scores.cross_entropy));
                       add(all, std::span<const std::uint8_t>(scores.correct));
                     }});
  EXPECT_EQ(next, rows.size());
}

/// Trains some steps, whose rows depend on nothing but their number.
Trained train_on(TrainingBackend& backend, const Kind& kind) {
  Trained all;
  backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor + 3, element); });
  backend.values_changed();
  for (int step = 0; step < kSteps; ++step) {
    std::vector<test::RandomBatch> rows;
    for (int i = 0; i < kind.train.batch_rows; ++i)
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
    backend.forward_backward({.count = rows.size(),
                              .share = 1.0 / static_cast<double>(rows.size()),
                              .rows = micro_batch,
                              .done = [&](std::size_t i, const Losses& losses, const TokenScores& scores) {
                                EXPECT_EQ(i, next++);
                                add(all, std::span(&losses.total, 1));
                                for (const RouterStatistics& router : losses.routers)
                                  add(all, std::span<const double>(router.load));
                                add(all, std::span<const float>(scores.cross_entropy));
                                add(all, std::span<const std::uint8_t>(scores.correct));
                              }});
    EXPECT_EQ(next, rows.size());
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
  add_scores(all, backend, kind);
  add_saved(all, backend, kind.model);
  return all;
}

Trained train_alone(const Kind& kind) {
  LocalBackend backend(device_for(kind.train), kind.model, kind.train);
  return train_on(backend, kind);
}

Trained train_ranks(const ProcessGrid& grid, const Kind& kind) {
  Trained trained;
  with_backend(grid, kind, [&](RankedBackend& backend) {
    trained = train_on(backend, kind);
    EXPECT_EQ(backend.compute_seconds().size(), static_cast<std::size_t>(grid.ranks()));
  });
  return trained;
}

void expect_the_same_bits(const std::vector<Kind>& kinds, const std::vector<ProcessGrid>& grids) {
  for (const Kind& kind : kinds) {
    const Trained alone = train_alone(kind);
    for (const ProcessGrid& grid : grids)
      EXPECT_TRUE(train_ranks(grid, kind) == alone) << kind.name << " in " << grid.text();
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
  expect_the_same_bits({kind("Adafactor in f32")}, {data(2), data(8)});
  expect_the_same_bits({adamw_in_bf16()}, {data(4)});
}

TEST(RankedBackend, GivesTheBitsOfOneRankWithSpreadExperts) {
  expect_the_same_bits({spread("Adafactor in f32")}, {{.expert = 2}, {.data = 2, .expert = 4}});
}

TEST(RankedBackend, GivesTheBitsOfOneRankInStages) {
  expect_the_same_bits({spread("Adafactor in f32")}, {{.pipeline = 2}, {.data = 2, .pipeline = 4}});
}

TEST(RankedBackend, GivesTheBitsOfOneRankInStagesWithSpreadExperts) {
  const Kind adamw = spread("AdamW in bf16", [](ModelConfig& model, TrainConfig& train) {
    model.dropout_rate = 0.1;
    model.capacity_rule = CapacityRule::colossalai;
    train.optimizer = "adamw";
    train.precision = "bf16";
    train.recompute = true;
  });
  expect_the_same_bits({adamw}, {{.data = 2, .expert = 2, .pipeline = 2}});
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
  expect_the_same_bits(kinds, {data(1), data(2), data(4), data(8)});
}

/// data x expert x pipeline with a product of 1, 2, 4 and 8.
TEST(RankedBackend, GivesTheBitsOfOneRankInAllTwentyGridsLong) {
  std::vector<ProcessGrid> grids;
  for (int product = 1; product <= 8; product *= 2)
    for (int expert = 1; expert <= product; expert *= 2)
      for (int pipeline = 1; pipeline * expert <= product; pipeline *= 2)
        grids.push_back({.data = product / expert / pipeline, .expert = expert, .pipeline = pipeline});
  ASSERT_EQ(grids.size(), 20U);
  std::vector<Kind> kinds;
  for (const char* const optimizer : {"adafactor", "adamw"})
    for (const std::string& precision : {std::string("f32"), std::string("bf16")})
      for (const CapacityRule rule : {CapacityRule::flaxformer, CapacityRule::colossalai, CapacityRule::dropless})
        kinds.push_back(spread(std::string(optimizer) + " " + precision, [&](ModelConfig& model, TrainConfig& train) {
          model.num_hidden_layers = 8;
          model.capacity_rule = rule;
          train.batch_rows = 64;
          train.lanes = 8;
          train.expert_lanes = 8;
          train.optimizer = optimizer;
          train.precision = precision;
        }));
  expect_the_same_bits(kinds, grids);
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
  const Kind run = spread("Adafactor");
  const test::RandomBatch rows(1, kLength, run.model.vocab_size, 3);
  with_backend({.expert = 2}, run, [&](RankedBackend& backend) {
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

class StoppedRanks : public testing::TestWithParam<ProcessGrid> {};

TEST_P(StoppedRanks, StopAllTogetherAndCanGoOn) {
  const Kind run = spread("Adafactor");
  const test::RandomBatch rows(1, kLength, run.model.vocab_size, 3);
  with_backend(GetParam(), run, [&](RankedBackend& backend) {
    backend.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
    backend.values_changed();
    EXPECT_THROW(backend.forward_backward(alike(rows,
                                                [](std::size_t i) {
                                                  if (i == 3) request_stop();
                                                })),
                 Stopped);
    withdraw_stop();
    backend.values_changed();
    backend.forward_backward(alike(rows));
    EXPECT_GT(backend.gradient_norm(), 0);
  });
}

INSTANTIATE_TEST_SUITE_P(, StoppedRanks,
                         testing::Values(ProcessGrid{.data = 4}, ProcessGrid{.expert = 4}, ProcessGrid{.pipeline = 4},
                                         ProcessGrid{.data = 2, .expert = 2, .pipeline = 2}),
                         [](const auto& of) {
                           return fmt::format("Data{}Expert{}Pipeline{}", of.param.data, of.param.expert,
                                              of.param.pipeline);
                         });

}  // namespace
}  // namespace millrace
