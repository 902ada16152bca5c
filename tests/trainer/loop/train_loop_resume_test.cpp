#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/loop/train_loop.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

TEST_F(TrainLoopTest, ResumedRunEqualsUninterruptedRun) {
  run("whole", 11);
  run("killed", 11, 5);
  run("killed", 11, 1);
  run("killed", 11, 4);
  run("killed", 11);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
  EXPECT_EQ(weights("killed", 11), weights("whole", 11));
  EXPECT_FALSE(weights("whole", 11).empty());
}

TEST_F(TrainLoopTest, ResumedRunDropsWhatAnUninterruptedOneDrops) {
  run("without", 7);
  dropout_rate_ = 0.1;
  run("whole", 7);
  run("killed", 7, 5);
  run("killed", 7);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
  EXPECT_EQ(weights("killed", 7), weights("whole", 7));
  EXPECT_NE(weights("whole", 7), weights("without", 7));
}

TEST_F(TrainLoopTest, ResumedBf16RunEqualsUninterruptedRun) {
  precision_ = "bf16";
  if (!processor_has_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  run("whole", 7);
  run("killed", 7, 5);
  run("killed", 7);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
  EXPECT_EQ(weights("killed", 7), weights("whole", 7));
}

TEST_F(TrainLoopTest, StartsAtTheBeginningIfKilledBeforeTheFirstCheckpoint) {
  run("whole", 4);
  run("killed", 4, 2);
  run("killed", 4);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
}

TEST_F(TrainLoopTest, GoesOnFromAnOlderCheckpointIfTheNewestIsDamaged) {
  run("whole", 9);
  run("hurt", 7);
  const fs::path state = checkpoint_path(folder_.path() / "hurt" / "checkpoints", 7) / "state.json";
  write_text(state, text_of(state) + " ");
  run("hurt", 9);
  EXPECT_EQ(metrics("hurt").size(), metrics("whole").size());
  EXPECT_EQ(weights("hurt", 9), weights("whole", 9));
  EXPECT_TRUE(fs::exists(folder_.path() / "hurt" / "checkpoints" / "damaged-step-000007"));
}

TEST_F(TrainLoopTest, LeavesTheLogsAsTheyAreUntilItRuns) {
  run("killed", 11, 5);
  const auto before = metrics("killed");
  TrainLoop loop(setup("killed"));
  loop.resume();
  EXPECT_EQ(loop.state().step, 3u);
  EXPECT_EQ(metrics("killed"), before);
}

TEST_F(TrainLoopTest, RefusesToBeginAgainIfTheCheckpointsFolderIsGone) {
  run("lost", 4);
  const auto before = metrics("lost");
  fs::remove_all(folder_.path() / "lost" / "checkpoints");
  EXPECT_THROW(TrainLoop(setup("lost")).resume(), ConfigError);
  EXPECT_EQ(metrics("lost"), before);
  fs::create_directory(folder_.path() / "lost" / "checkpoints");
  EXPECT_NO_THROW(TrainLoop(setup("lost")).resume());
}

TEST_F(TrainLoopTest, RefusesToBeginAgainIfAllCheckpointsAreDamaged) {
  run("hurt", 7);
  const fs::path checkpoints = folder_.path() / "hurt" / "checkpoints";
  for (const std::uint64_t step : checkpoint_steps(checkpoints))
    fs::remove(checkpoint_path(checkpoints, step) / "state.json");
  const auto before = metrics("hurt");
  TrainLoop loop(setup("hurt"));
  EXPECT_THROW(loop.resume(), ConfigError);
  EXPECT_EQ(metrics("hurt"), before);
}

TEST_F(TrainLoopTest, RefusesToGoOnWithStepsOfAnotherSize) {
  run("a", 4);
  TrainSetup larger = setup("a");
  larger.train.batch_rows = 8;
  TrainLoop loop(larger);
  EXPECT_THROW(loop.resume(), ConfigError);
}

TEST_F(TrainLoopTest, SavesWhenInterruptedAndGoesOnAsIfNothingHadHappened) {
  run("whole", 6);
  {
    TrainLoop loop(setup("interrupted"));
    Stream stream(0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    hooks.interrupted = [&] { return loop.state().step == 2; };
    EXPECT_EQ(loop.run(6, hooks), TrainEnd::interrupted);
    EXPECT_EQ(loop.state().step, 2u);
  }
  run("interrupted", 6);
  EXPECT_EQ(metrics("interrupted"), metrics("whole"));
}

TEST_F(TrainLoopTest, ChangesNothingWhenACompleteRunIsResumed) {
  run("a", 4);
  const auto before = metrics("a");
  run("a", 4);
  EXPECT_EQ(metrics("a"), before);
}

}  // namespace
}  // namespace millrace
