#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/log_text.h"
#include "tests/trainer/loop/train_loop_fixture.h"

namespace millrace {
namespace {

/// A run that learns almost nothing, and whose head is spoiled after its first step.
class RisingLossTest : public TrainLoopTest {
 protected:
  /// Trains on until `steps`; returns how many updates in a row had a loss above the first one's.
  std::uint64_t train(const std::string& name, std::uint64_t steps, float head_factor) {
    TrainSetup slow = setup(name);
    slow.train.learning_rate = 1e-6;
    slow.train.micro_rows = 4;
    slow.train.eval_every_steps = slow.train.checkpoint_every_steps = 0;
    TrainLoop loop(slow);
    loop.resume();
    Stream stream(loop.position() ? loop.position()->row : 0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] {
      if (loop.state().step == 1)
        for (float& weight : floats_of(loop.backend().parameters().named("lm_head.weight").value))
          weight *= head_factor;
      return stream();
    };
    loop.run(steps, hooks);
    return loop.state().above_first_loss;
  }

  std::size_t told() const {
    std::size_t count = 0;
    const std::string text = log_.text();
    for (std::size_t at = 0; (at = text.find("has been above the first", at)) != std::string::npos; ++at) ++count;
    return count;
  }

  const LogText log_;
};

TEST_F(RisingLossTest, IsToldOnceAfterFiftyStepsAndCountedOnAfterAStop) {
  EXPECT_EQ(train("a", 31, 1000), 30u) << "the first step's own is not above itself";
  EXPECT_EQ(train("a", 50, 1), 49u);
  EXPECT_EQ(told(), 0u);
  EXPECT_EQ(train("a", 53, 1), 52u);
  EXPECT_EQ(told(), 1u);
  EXPECT_THAT(log_.text(), testing::HasSubstr("for 50 steps"));
  EXPECT_THAT(log_.text(), testing::HasSubstr("in step 51."));
}

TEST_F(RisingLossTest, IsNotToldOfARunThatLearns) {
  run("a", 53);
  EXPECT_EQ(told(), 0u);
}

TEST(TrainState, CountsUpdatesInARowWhoseLossIsAboveTheFirst) {
  TrainState state;
  for (const auto& [loss, expected] :
       std::vector<std::pair<double, std::uint64_t>>{{3, 0}, {4, 1}, {3.1, 2}, {3, 0}, {5, 1}, {2, 0}, {3.5, 1}}) {
    ++state.step;
    state.add(loss);
    EXPECT_EQ(state.above_first_loss, expected) << loss;
  }
  TrainState read;
  RunIdentity identity;
  parse_state_json(JsonValue::parse(json_page(state_json(state, identity)), {"state.json", 0, ""}), read, identity);
  EXPECT_EQ(read.above_first_loss, 1u);
}

}  // namespace
}  // namespace millrace
