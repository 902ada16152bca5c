#include "trainer/metrics/step_statistics.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

const std::vector<std::string> kCorpora{"prose", "code"};
const std::vector<std::vector<std::string>> kDenoisers{{"span", "prefix"}, {"causal"}};
const std::vector<std::uint8_t> kNoneCorrect(8);

ExampleOrigin example(std::uint32_t corpus, std::uint32_t denoiser, std::uint32_t first, std::uint32_t inputs,
                      std::uint32_t targets) {
  ExampleOrigin origin;
  origin.corpus = corpus;
  origin.denoiser = denoiser;
  origin.first = first;
  origin.inputs = inputs;
  origin.targets = targets;
  return origin;
}

/// Eight positions: prose by spans (2 inputs, 2 targets), code by prefix (1 input, 2 targets), one of padding.
StreamRow row_of_two_examples() {
  StreamRow row;
  row.row.tokens.resize(8);
  row.row.loss_weights = {0, 0, 1, 1, 0, 1, 1, 0};
  row.row.segment_ids = {1, 1, 1, 1, 2, 2, 2, 0};
  row.examples = {example(0, 0, 0, 2, 2), example(1, 1, 4, 1, 2)};
  return row;
}

Losses losses_with(double ce, double dropped, std::vector<double> load) {
  Losses losses;
  losses.ce = ce;
  losses.loss_weight = 4;
  RouterStatistics router;
  router.dropped = dropped;
  router.load = std::move(load);
  losses.routers.push_back(router);
  return losses;
}

TEST(StepTally, GivesEachPositionsLossToItsExamplesOwners) {
  StepStatistics tally(kCorpora, kDenoisers);
  const std::vector<StreamRow> rows{row_of_two_examples(), row_of_two_examples()};
  const TokenScores scores{{0, 0, 1, 2, 0, 5, 7, 0, 0, 0, 3, 4, 0, 5, 11, 0}, std::vector<std::uint8_t>(16)};
  tally.add(rows, {}, scores, 1);
  EXPECT_EQ(tally.ce_by_corpus(), (std::map<std::string, double>{{"prose", 2.5}, {"code", 7}}));
  EXPECT_EQ(tally.ce_by_denoiser(), (std::map<std::string, double>{{"span", 2.5}, {"prefix", 7}}));
}

TEST(StepTally, JoinsTheDenoisersOfAllPhasesByName) {
  const std::vector<std::vector<std::string>> denoisers{{"same"}, {"same"}};
  StepStatistics tally(kCorpora, denoisers);
  StreamRow row = row_of_two_examples();
  row.examples[1].denoiser = 0;
  row.examples[1].phase = 1;
  tally.add(std::span(&row, 1), {}, {{0, 0, 1, 2, 0, 5, 8, 0}, kNoneCorrect}, 1);
  EXPECT_EQ(tally.ce_by_denoiser(), (std::map<std::string, double>{{"same", 4}}));
  EXPECT_EQ(tally.phase(), 1u);
}

TEST(StepTally, LeavesOutWhoHasNoLoss) {
  StepStatistics tally(kCorpora, kDenoisers);
  StreamRow row = row_of_two_examples();
  row.row.loss_weights = {0, 0, 0, 0, 0, 1, 1, 0};
  tally.add(std::span(&row, 1), {}, {{0, 0, 0, 0, 0, 5, 7, 0}, kNoneCorrect}, 1);
  EXPECT_EQ(tally.ce_by_corpus(), (std::map<std::string, double>{{"code", 6}}));
}

TEST(StepTally, AveragesMicroBatches) {
  StepStatistics tally(kCorpora, kDenoisers);
  const std::vector<StreamRow> rows{row_of_two_examples()};
  const TokenScores scores{std::vector<float>(8), kNoneCorrect};
  tally.add(rows, losses_with(2, 0.5, {0.25, 0.75}), scores, 0.5);
  tally.add(rows, losses_with(4, 0, {0.75, 0.25}), scores, 0.5);
  EXPECT_EQ(tally.losses().ce, 3);
  EXPECT_EQ(tally.losses().loss_weight, 8);
  EXPECT_EQ(tally.losses().routers[0].dropped, 0.25);
  EXPECT_EQ(tally.losses().routers[0].load, (std::vector<double>{0.5, 0.5}));
}

TEST(StepTally, AddsUpWhatTheRoutersKept) {
  StepStatistics tally(kCorpora, kDenoisers);
  const std::vector<StreamRow> rows{row_of_two_examples()};
  Losses losses = losses_with(2, 0, {1});
  losses.routers[0].kept = 12;
  losses.routers[0].gates = 9;
  losses.routers[0].places = 16;
  losses.routers[0].routed = 8;
  losses.routers[0].left_behind = 1;
  tally.add(rows, losses, {std::vector<float>(8), kNoneCorrect}, 0.5);
  losses.routers[0].kept = 4;
  losses.routers[0].gates = 1;
  losses.routers[0].left_behind = 5;
  tally.add(rows, losses, {std::vector<float>(8), kNoneCorrect}, 0.5);
  const RouterStatistics& router = tally.losses().routers[0];
  EXPECT_EQ(router.share_left_behind(), 6.0 / 16);
  EXPECT_EQ(router.expert_usage(), 16.0 / 32);
  EXPECT_EQ(router.confidence(), 10.0 / 16);
}

TEST(StepTally, WeighsWhatIsCorrectByTheLossWeights) {
  StepStatistics tally(kCorpora, kDenoisers);
  StreamRow row = row_of_two_examples();
  row.row.loss_weights = {0, 0, 1, 1, 0, 2, 1, 0};
  EXPECT_EQ(tally.accuracy(), std::nullopt);
  tally.add(std::span(&row, 1), {}, {std::vector<float>(8), {1, 1, 1, 0, 1, 1, 0, 1}}, 0.5);
  EXPECT_EQ(tally.accuracy(), 3.0 / 5);
  tally.add(std::span(&row, 1), {}, {std::vector<float>(8), kNoneCorrect}, 0.5);
  EXPECT_EQ(tally.accuracy(), 3.0 / 10);
}

TEST(StepTally, CountsWhatTheProductsWorkOn) {
  StepStatistics tally(kCorpora, kDenoisers);
  const std::vector<StreamRow> rows{row_of_two_examples()};
  Losses losses = losses_with(2, 0.25, {0.5, 0.5});
  losses.routers[0].kept = 12;
  tally.add(rows, losses, {std::vector<float>(8), kNoneCorrect}, 1);
  tally.add(rows, losses, {std::vector<float>(8), kNoneCorrect}, 1);
  const ProductWork work = tally.product_work();
  EXPECT_EQ(work.positions, 2 * 8);
  EXPECT_EQ(work.loss_positions, 2 * 4);
  EXPECT_EQ(work.attention_pairs, 2 * (10 + 6));
  EXPECT_EQ(work.expert_pairs, 2 * 12);
}

}  // namespace
}  // namespace millrace
