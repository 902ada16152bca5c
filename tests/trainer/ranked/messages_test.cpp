// What ranks tell each other arrives as it was.
#include <gtest/gtest.h>

#include "tests/model/test_support.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/batch_feed.h"
#include "trainer/ranked/step_results.h"
#include "trainer/ranked/training_text.h"

namespace millrace {
namespace {

TEST(Messages, OrdersAndTexts) {
  test::with_ranks(3, [](Communicator& ranks) {
    std::string text;
    if (ranks.rank() == 0) {
      give_order(ranks, {.kind = OrderKind::update, .a = 0.25, .b = 3}, "more of it");
      give_order(ranks, {.kind = OrderKind::norm});
    } else {
      const Order order = take_order(ranks, text);
      EXPECT_EQ(order.kind, OrderKind::update);
      EXPECT_EQ(order.a, 0.25);
      EXPECT_EQ(order.b, 3);
      EXPECT_EQ(text, "more of it");
      EXPECT_EQ(take_order(ranks, text).kind, OrderKind::norm);
      EXPECT_EQ(text, "");
    }
    const auto all = gather_texts(ranks, ranks.rank() == 1 ? "" : "rank " + std::to_string(ranks.rank()));
    if (ranks.rank() == 0) {
      EXPECT_EQ(all, (std::vector<std::string>{"rank 0", "", "rank 2"}));
    }
  });
}

TEST(Messages, Batches) {
  const test::RandomBatch made(3, 7, 100, 5);
  TokenBatch batch = made.view();
  std::vector<std::int32_t> segments(21, 2);
  batch.segment_ids = segments.data();
  batch.positions = nullptr;
  batch.loss_divisor = 1.0 / 3;
  batch.seed = 1ULL << 63U;
  batch.step = 12;
  batch.first_row = 34;
  const std::vector<std::byte> bytes = bytes_of_batch(batch);
  const TokenBatch there = batch_in(bytes);
  EXPECT_EQ(there.rows, 3);
  EXPECT_EQ(there.length, 7);
  for (int i = 0; i < 21; ++i) {
    EXPECT_EQ(there.tokens[i], batch.tokens[i]);
    EXPECT_EQ(there.labels[i], batch.labels[i]);
    EXPECT_EQ(there.loss_weights[i], batch.loss_weights[i]);
    EXPECT_EQ(there.segment_ids[i], 2);
  }
  EXPECT_EQ(there.positions, nullptr);
  EXPECT_EQ(there.loss_divisor, batch.loss_divisor);
  EXPECT_EQ(there.seed, batch.seed);
  EXPECT_EQ(there.step, batch.step);
  EXPECT_EQ(there.first_row, batch.first_row);
}

TEST(Messages, Results) {
  StepResults results;
  results.seconds = 1.5;
  MicroBatchResult& one = results.micro_batches.emplace_back();
  one.losses = {.total = 1, .ce = 2, .z_loss = 3, .aux_loss = 4, .router_z_loss = 5, .loss_weight = 6, .routers = {}};
  RouterStatistics& router = one.losses.routers.emplace_back();
  router.aux_loss = 0.1;
  router.z_loss = 0.2;
  router.entropy = 0.3;
  router.dropped = 0.4;
  router.kept = 5;
  router.gates = 0.6;
  router.places = 7;
  router.routed = 8;
  router.left_behind = 9;
  router.load = {0.25, 0.75};
  router.pairs_at = {1, 2, 3};
  router.dropped_at = {4};
  one.scores = {.cross_entropy = {1.5F, 2.5F}, .correct = {1, 0}};
  const StepResults there = results_in(bytes_of_results(results));
  EXPECT_EQ(there.seconds, 1.5);
  EXPECT_FALSE(there.is_stopped);
  ASSERT_EQ(there.micro_batches.size(), 1U);
  const Losses& losses = there.micro_batches[0].losses;
  EXPECT_EQ(losses.total, 1);
  EXPECT_EQ(losses.ce, 2);
  EXPECT_EQ(losses.z_loss, 3);
  EXPECT_EQ(losses.aux_loss, 4);
  EXPECT_EQ(losses.router_z_loss, 5);
  EXPECT_EQ(losses.loss_weight, 6);
  ASSERT_EQ(losses.routers.size(), 1U);
  const RouterStatistics& same = losses.routers[0];
  EXPECT_EQ(same.aux_loss, router.aux_loss);
  EXPECT_EQ(same.z_loss, router.z_loss);
  EXPECT_EQ(same.entropy, router.entropy);
  EXPECT_EQ(same.dropped, router.dropped);
  EXPECT_EQ(same.kept, router.kept);
  EXPECT_EQ(same.gates, router.gates);
  EXPECT_EQ(same.places, router.places);
  EXPECT_EQ(same.routed, router.routed);
  EXPECT_EQ(same.left_behind, router.left_behind);
  EXPECT_EQ(same.load, router.load);
  EXPECT_EQ(same.pairs_at, router.pairs_at);
  EXPECT_EQ(same.dropped_at, router.dropped_at);
  EXPECT_EQ(there.micro_batches[0].scores.cross_entropy, one.scores.cross_entropy);
  EXPECT_EQ(there.micro_batches[0].scores.correct, one.scores.correct);
  EXPECT_TRUE(results_in(bytes_of_results({.is_stopped = true, .micro_batches = {}})).is_stopped);
}

TEST(Messages, EveryKeyOfModelAndTraining) {
  ModelConfig model = model_preset("openmoe-8b");
  model.vocab_size = 1234;
  model.router_aux_loss_factor = 0.1 + 0.2;
  TrainConfig train;
  train.optimizer = "adamw";
  train.eps = 1.0 / 3;
  train.lanes = 16;
  train.recompute = true;
  train.tokens = 1'100'000'000'000;
  const RankLayout layout{{.data = 4, .expert = 2, .tensor = 1, .pipeline = 3}, {{0, 7}, {7, 15}, {15, 24}}};
  const auto [same_model, same_train, same_layout] = training_in(text_of_training({model, train, layout}));
  EXPECT_EQ(same_layout.grid, layout.grid);
  ASSERT_EQ(same_layout.stages.size(), layout.stages.size());
  for (std::size_t i = 0; i < layout.stages.size(); ++i) {
    EXPECT_EQ(same_layout.stages[i].first, layout.stages[i].first);
    EXPECT_EQ(same_layout.stages[i].end, layout.stages[i].end);
  }
  EXPECT_TRUE(model_keys().differences(model, same_model).empty());
  for (const auto& keys : train_keys()) EXPECT_TRUE(keys.differences(train, same_train).empty());
}

}  // namespace
}  // namespace millrace
