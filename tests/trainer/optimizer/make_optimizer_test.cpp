#include "trainer/optimizer/make_optimizer.h"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/device/counting_device.h"
#include "stages/errors.h"
#include "tests/trainer/tiny_model.h"

namespace millrace {
namespace {

/// What is said about a configuration after `change`; empty: it is taken.
std::string complaint_after(const std::function<void(TrainConfig&)>& change) {
  CountingDevice device(Precision::f32, true);
  const ParameterMemory memory(device, tiny_model(), ParameterMemory::Gradients::allocated);
  TrainConfig config;
  config.optimizer = "adamw";
  change(config);
  try {
    make_optimizer(config, device, memory.views());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(MakeOptimizer, RefusesSettingsOfAdamWThatCannotBe) {
  EXPECT_EQ(complaint_after([](TrainConfig&) {}), "");
  EXPECT_EQ(complaint_after([](TrainConfig& config) { config.beta1 = 1; }),
            "train.beta1 is 1, expected a number from 0 to below 1");
  EXPECT_EQ(complaint_after([](TrainConfig& config) { config.beta2 = -0.1; }),
            "train.beta2 is -0.1, expected a number from 0 to below 1");
  EXPECT_EQ(complaint_after([](TrainConfig& config) { config.eps = 0; }), "train.eps is 0, expected a number above 0");
  EXPECT_EQ(complaint_after([](TrainConfig& config) { config.weight_decay = -1; }),
            "train.weight_decay is -1, expected 0 or more");
}

TEST(MakeOptimizer, RefusesANameThatIsNotThereAndNamesThoseThatAre) {
  EXPECT_THAT(complaint_after([](TrainConfig& config) { config.optimizer = "sgd"; }),
              testing::AllOf(testing::HasSubstr("\"sgd\""), testing::HasSubstr("\"adafactor\" or \"adamw\"")));
}

}  // namespace
}  // namespace millrace
