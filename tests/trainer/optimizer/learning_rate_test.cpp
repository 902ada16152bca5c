#include "trainer/optimizer/learning_rate.h"

#include <cmath>

#include <gtest/gtest.h>

#include "stages/errors.h"

namespace millrace {
namespace {

TrainConfig scheduled(const char* schedule) {
  TrainConfig config;
  config.schedule = schedule;
  config.learning_rate = 0.4;
  config.final_learning_rate = 0.1;
  config.warmup_steps = 20;
  config.decay_share = 0.25;
  return config;
}

TEST(LearningRate, IsOpenMoEsByDefault) {
  const LearningRate rate(TrainConfig(), 500'000);
  EXPECT_DOUBLE_EQ(rate.at(0), 0.01);
  EXPECT_DOUBLE_EQ(rate.at(10'000), 0.01);
  EXPECT_NEAR(rate.at(100'000), 0.00316, 1e-5);
  EXPECT_NEAR(rate.at(390'000), 0.00160, 1e-5);
}

TEST(LearningRate, StaysWhereItIsWhenConstant) {
  const LearningRate rate(scheduled("constant"), 10);
  EXPECT_EQ(rate.at(0), 0.4);
  EXPECT_EQ(rate.at(1'000'000), 0.4);
}

TEST(LearningRate, WarmsUpInEqualStepsFromTheFirstOne) {
  for (const char* schedule : {"cosine", "wsd"}) {
    const LearningRate rate(scheduled(schedule), 200);
    for (std::uint64_t step = 0; step < 20; ++step)
      EXPECT_DOUBLE_EQ(rate.at(step), 0.02 * static_cast<double>(step + 1)) << schedule;
    EXPECT_DOUBLE_EQ(rate.at(20), 0.4) << schedule;
  }
}

TEST(LearningRate, FallsAsHalfACosineToTheFinalOne) {
  const LearningRate rate(scheduled("cosine"), 200);
  EXPECT_DOUBLE_EQ(rate.at(110), 0.25);
  EXPECT_NEAR(rate.at(65), 0.1 + 0.3 * (1 + std::sqrt(0.5)) / 2, 1e-12);
  EXPECT_NEAR(rate.at(199), 0.1, 1e-4);
  EXPECT_DOUBLE_EQ(rate.at(200), 0.1);
  EXPECT_DOUBLE_EQ(rate.at(1000), 0.1);
  for (std::uint64_t step = 20; step < 199; ++step) EXPECT_GT(rate.at(step), rate.at(step + 1));
}

TEST(LearningRate, StaysThenFallsInAStraightLineOverTheLastShareOfTheRun) {
  const LearningRate rate(scheduled("wsd"), 200);
  EXPECT_DOUBLE_EQ(rate.at(149), 0.4);
  EXPECT_DOUBLE_EQ(rate.at(150), 0.4);
  EXPECT_DOUBLE_EQ(rate.at(175), 0.25);
  EXPECT_DOUBLE_EQ(rate.at(200), 0.1);
}

TEST(LearningRate, NeedsNoWarmUpToFall) {
  TrainConfig config = scheduled("cosine");
  config.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(LearningRate(config, 100).at(0), 0.4);
}

std::string refusal(const TrainConfig& config, std::uint64_t steps) {
  try {
    const LearningRate rate(config, steps);
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST(LearningRate, RefusesWhatCannotBe) {
  EXPECT_NE(refusal(scheduled("linear"), 100).find("\"wsd\""), std::string::npos);
  TrainConfig negative;
  negative.learning_rate = -1;
  EXPECT_NE(refusal(negative, 100).find("learning_rate"), std::string::npos);
  TrainConfig cold;
  cold.warmup_steps = 0;
  EXPECT_NE(refusal(cold, 100).find("warmup_steps"), std::string::npos);
  TrainConfig rising = scheduled("cosine");
  rising.final_learning_rate = 0.5;
  EXPECT_NE(refusal(rising, 100).find("final_learning_rate"), std::string::npos);
  TrainConfig nothing = scheduled("wsd");
  nothing.decay_share = 0;
  EXPECT_NE(refusal(nothing, 100).find("decay_share"), std::string::npos);
}

TEST(LearningRate, SaysHowMuchWarmUpTheRunHasRoomFor) {
  EXPECT_EQ(refusal(scheduled("cosine"), 20), "");
  EXPECT_NE(refusal(scheduled("cosine"), 19).find("0 to 19"), std::string::npos);
  EXPECT_NE(refusal(scheduled("wsd"), 24).find("0 to 18 in a run of 24 steps"), std::string::npos);
}

}  // namespace
}  // namespace millrace
