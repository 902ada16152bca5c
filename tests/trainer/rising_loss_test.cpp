#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/log_text.h"
#include "tests/trainer/train_loop_fixture.h"

namespace millrace {
namespace {

using RisingLossTest = TrainLoopTest;

TEST_F(RisingLossTest, IsToldOnceAfterFiftyStepsAboveTheFirst) {
  const LogText log;
  const auto train = [&](const std::string& name, double rate, std::uint64_t steps) {
    TrainSetup fast = setup(name);
    fast.train.learning_rate = rate;
    fast.train.eval_every_steps = fast.train.checkpoint_every_steps = 0;
    TrainLoop loop(fast);
    loop.resume();
    Stream stream(loop.position() ? loop.position()->row : 0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    loop.run(steps, hooks);
    return loop.state().above_first_loss;
  };
  const auto told = [&] {
    std::size_t count = 0;
    const std::string text = log.text();
    for (std::size_t at = 0; (at = text.find("has been above the first", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  EXPECT_LT(train("slow", 1, 60), 50u);
  EXPECT_EQ(told(), 0u);
  EXPECT_EQ(train("fast", 1000, 31), 30u) << "the first step's own is not above itself";
  EXPECT_EQ(told(), 0u);
  EXPECT_EQ(train("fast", 1000, 50), 49u) << "counted on after a stop";
  EXPECT_EQ(told(), 0u);
  EXPECT_EQ(train("fast", 1000, 70), 69u);
  EXPECT_EQ(told(), 1u);
  EXPECT_THAT(log.text(), testing::HasSubstr("in step 51"));
}

}  // namespace
}  // namespace millrace
