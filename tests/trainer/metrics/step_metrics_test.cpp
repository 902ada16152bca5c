#include "trainer/metrics/step_metrics.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace millrace {
namespace {

/// A step whose routers drop all pairs of the last `dropped` of `length` positions.
nlohmann::json line_of(std::int64_t length, std::int64_t dropped, int layers) {
  StepMetrics step;
  step.seconds = 1;
  step.ledger.emplace();
  RouterStatistics router;
  for (std::int64_t at = 0; at < length; ++at) {
    router.pairs_at.push_back(4);
    router.dropped_at.push_back(at >= length - dropped ? 4 : 0);
  }
  step.losses.routers.assign(static_cast<std::size_t>(layers), router);
  return nlohmann::json(training_line(step));
}

TEST(TrainingLine, DividesTheRowIntoThirtyTwoEqualParts) {
  const std::vector<double> shares = line_of(64, 3, 2).at("dropped_by_position");
  ASSERT_EQ(shares.size(), 32u);
  EXPECT_EQ(shares[29], 0);
  EXPECT_EQ(shares[30], 0.5);
  EXPECT_EQ(shares[31], 1);
}

TEST(TrainingLine, HasAPartForEachPositionOfAShortRow) {
  EXPECT_EQ(line_of(3, 1, 1).at("dropped_by_position"), (nlohmann::json{0.0, 0.0, 1.0}));
}

TEST(TrainingLine, HasNullWhereNoPairIs) {
  StepMetrics step;
  step.ledger.emplace();
  RouterStatistics router;
  router.pairs_at = {2, 0};
  router.dropped_at = {1, 0};
  step.losses.routers = {router};
  EXPECT_EQ(nlohmann::json(training_line(step)).at("dropped_by_position"), (nlohmann::json{0.5, nullptr}));
}

TEST(TrainingLine, NamesEveryStatisticOfEachLayer) {
  const nlohmann::json line = line_of(4, 0, 2);
  for (const char* key : {"load_balance", "z", "entropy", "dropped", "left_behind", "expert_usage", "confidence"})
    EXPECT_EQ(line.at("router").at(key).size(), 2u);
  EXPECT_EQ(line.at("experts").size(), 2u);
}

TEST(TrainingLine, HasNullForWhatHasNoLimitAndNoLoss) {
  StepMetrics step;
  RouterStatistics router;
  router.routed = 8;
  router.left_behind = 2;
  step.losses.routers = {router};
  const nlohmann::json line = nlohmann::json(training_line(step));
  EXPECT_EQ(line.at("router").at("left_behind"), nlohmann::json{0.25});
  EXPECT_EQ(line.at("router").at("expert_usage"), nlohmann::json{nullptr});
  EXPECT_EQ(line.at("router").at("confidence"), nlohmann::json{nullptr});
  EXPECT_EQ(line.at("accuracy"), nullptr);
}

TEST(TrainingLine, HasNoDetailsWhereNoneAreDue) {
  StepMetrics step;
  step.seconds = 1;
  const nlohmann::json line = nlohmann::json(training_line(step));
  for (const char* key : {"ledger", "experts", "dropped_by_position", "limit_share", "profile"})
    EXPECT_FALSE(line.contains(key)) << key;
}

}  // namespace
}  // namespace millrace
