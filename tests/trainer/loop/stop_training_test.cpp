#include <gtest/gtest.h>

#include "model/stop.h"
#include "tests/trainer/loop/train_loop_fixture.h"

namespace millrace {
namespace {

class StopTrainingTest : public TrainLoopTest {
 protected:
  ~StopTrainingTest() override { withdraw_stop(); }

  /// Resumes `name` until `total` steps, and requests a stop before the batch for which `stop(loop)` is true.
  TrainEnd run_until(const std::string& name, std::uint64_t total, const std::function<bool(const TrainLoop&)>& stop) {
    TrainLoop loop(setup(name));
    loop.resume();
    Stream stream(loop.position() ? loop.position()->row : 0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] {
      if (stop(loop)) request_stop();
      return stream();
    };
    hooks.on_step = [&](const StepReport& report) {
      if (report.step == stop_after_step_) request_stop();
    };
    const TrainEnd end = loop.run(total, hooks);
    step_ = loop.state().step;
    withdraw_stop();
    return end;
  }

  std::uint64_t step_ = 0;
  std::uint64_t stop_after_step_ = 0;  ///< Before the evaluation that follows the step, if one is due.
};

TEST_F(StopTrainingTest, GivesUpTheStepUnderWayAndSavesTheLastWholeOne) {
  run("whole", 6);
  EXPECT_EQ(run_until("stopped", 6, [](const TrainLoop& loop) { return loop.state().step == 2; }),
            TrainEnd::interrupted);
  EXPECT_EQ(step_, 2u);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "stopped" / "checkpoints"), std::vector<std::uint64_t>{2});
  run("stopped", 6);
  EXPECT_EQ(metrics("stopped"), metrics("whole"));
  EXPECT_EQ(weights("stopped", 6), weights("whole", 6));
}

TEST_F(StopTrainingTest, GivesUpAnEvaluationWhichIsMadeWhenTheRunGoesOn) {
  run("whole", 8);
  const auto never = [](const TrainLoop&) { return false; };
  for (const std::uint64_t step : {std::uint64_t{4}, std::uint64_t{8}}) {
    const std::string name = "stopped-" + std::to_string(step);
    stop_after_step_ = step;
    EXPECT_EQ(run_until(name, 8, never), TrainEnd::interrupted);
    EXPECT_EQ(step_, step);
    EXPECT_FALSE(metrics(name).back().contains("eval")) << "it was given up";
    run(name, 8);
    EXPECT_EQ(metrics(name), metrics("whole"));
    EXPECT_EQ(weights(name, 8), weights("whole", 8));
  }
}

TEST_F(StopTrainingTest, EndsBeforeTheFirstStepAndLeavesARunThatBeginsAnew) {
  run("whole", 3);
  EXPECT_EQ(run_until("stopped", 3, [](const TrainLoop&) { return true; }), TrainEnd::interrupted);
  EXPECT_EQ(step_, 0u);
  run("stopped", 3);
  EXPECT_EQ(metrics("stopped"), metrics("whole"));
}

TEST_F(StopTrainingTest, IsNoEndOfTheStreamWhereNoBatchCame) {
  TrainLoop loop(setup("a"));
  Stream stream(0);
  bool interrupted = false;
  TrainLoop::Hooks hooks;
  hooks.interrupted = [&] { return interrupted; };
  hooks.next_batch = [&]() -> std::optional<Batch> {
    if (loop.state().step < 2) return stream();
    interrupted = true;
    return std::nullopt;
  };
  EXPECT_EQ(loop.run(6, hooks), TrainEnd::interrupted);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "a" / "checkpoints"), std::vector<std::uint64_t>{2});
}

}  // namespace
}  // namespace millrace
