#include <algorithm>

#include <gtest/gtest.h>

#include "tests/trainer/floats.h"
#include "tests/trainer/loop/train_loop_fixture.h"

namespace millrace {
namespace {

bool all_are_zero(const Parameters& parameters) {
  return std::ranges::all_of(all_floats(parameters), [](float x) { return x == 0; });
}

class FirstWeightsTest : public TrainLoopTest {};

TEST_F(FirstWeightsTest, AreDrawnWhenTrainingBeginsAndNotBefore) {
  TrainLoop loop(setup("a"));
  EXPECT_TRUE(all_are_zero(loop.backend().parameters()));
  loop.resume();
  EXPECT_TRUE(all_are_zero(loop.backend().parameters())) << "there was nothing to resume from";
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  loop.run(0, hooks);
  EXPECT_FALSE(all_are_zero(loop.backend().parameters()));
}

TEST_F(FirstWeightsTest, AreThoseOfACheckpointWhereThereIsOne) {
  run("a", 3);
  const std::filesystem::path checkpoint = checkpoint_path(folder_.path() / "a" / "checkpoints", 3);
  TrainLoop resumed(setup("a"));
  resumed.resume();
  TrainLoop begun(setup("b"));
  begun.start_with_weights(checkpoint);
  const std::vector<float> saved = all_floats(begun.backend().parameters());
  EXPECT_EQ(all_floats(resumed.backend().parameters()), saved);
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  begun.run(0, hooks);
  EXPECT_EQ(all_floats(begun.backend().parameters()), saved);
}

}  // namespace
}  // namespace millrace
