#include <algorithm>

#include <gtest/gtest.h>

#include "tests/trainer/loop/train_loop_fixture.h"

namespace millrace {
namespace {

bool all_are_zero(const Parameters<float>& parameters) {
  return std::ranges::all_of(parameters.all, [](const Parameter<float>& parameter) {
    return std::all_of(parameter.value, parameter.value + parameter.spec.size(), [](float x) { return x == 0; });
  });
}

std::vector<float> values_of(const Parameters<float>& parameters) {
  std::vector<float> values;
  for (const Parameter<float>& parameter : parameters.all)
    values.insert(values.end(), parameter.value, parameter.value + parameter.spec.size());
  return values;
}

class FirstWeightsTest : public TrainLoopTest {};

TEST_F(FirstWeightsTest, AreDrawnWhenTrainingBeginsAndNotBefore) {
  TrainLoop loop(setup("a"));
  EXPECT_TRUE(all_are_zero(loop.parameters()));
  loop.resume();
  EXPECT_TRUE(all_are_zero(loop.parameters())) << "there was nothing to resume from";
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  loop.run(0, hooks);
  EXPECT_FALSE(all_are_zero(loop.parameters()));
}

TEST_F(FirstWeightsTest, AreThoseOfACheckpointWhereThereIsOne) {
  run("a", 3);
  const std::filesystem::path checkpoint = checkpoint_path(folder_.path() / "a" / "checkpoints", 3);
  TrainLoop resumed(setup("a"));
  resumed.resume();
  TrainLoop begun(setup("b"));
  begun.start_with_weights(checkpoint);
  const std::vector<float> saved = values_of(begun.parameters());
  EXPECT_EQ(values_of(resumed.parameters()), saved);
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  begun.run(0, hooks);
  EXPECT_EQ(values_of(begun.parameters()), saved);
}

}  // namespace
}  // namespace millrace
