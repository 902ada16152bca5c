#include "trainer/learning_rate.h"

#include <gtest/gtest.h>

#include "stages/errors.h"

namespace millrace {
namespace {

TEST(LearningRate, IsOpenMoEsByDefault) {
  const LearningRate rate{TrainConfig()};
  EXPECT_DOUBLE_EQ(rate.at(0), 0.01);
  EXPECT_DOUBLE_EQ(rate.at(10'000), 0.01);
  EXPECT_NEAR(rate.at(100'000), 0.00316, 1e-5);
  EXPECT_NEAR(rate.at(390'000), 0.00160, 1e-5);
}

TEST(LearningRate, StaysWhereItIsWhenConstant) {
  TrainConfig config;
  config.schedule = "constant";
  config.learning_rate = 0.001;
  EXPECT_EQ(LearningRate(config).at(0), 0.001);
  EXPECT_EQ(LearningRate(config).at(1'000'000), 0.001);
}

TEST(LearningRate, RefusesWhatCannotBe) {
  TrainConfig unknown;
  unknown.schedule = "cosine";
  EXPECT_THROW(LearningRate{unknown}, ConfigError);
  TrainConfig negative;
  negative.learning_rate = -1;
  EXPECT_THROW(LearningRate{negative}, ConfigError);
  TrainConfig cold;
  cold.warmup_steps = 0;
  EXPECT_THROW(LearningRate{cold}, ConfigError);
}

}  // namespace
}  // namespace millrace
