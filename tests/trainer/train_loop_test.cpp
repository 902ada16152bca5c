#include "trainer/train_loop.h"

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/trainer/train_loop_fixture.h"
#include "trainer/summary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

TEST_F(TrainLoopTest, LearnsAndLogsEachStep) {
  run("a", 40);
  const auto lines = metrics("a");
  EXPECT_EQ(lines.size(), 40u + 11u);
  EXPECT_EQ(lines.front().at("step"), 0);
  EXPECT_TRUE(lines.front().contains("eval"));
  EXPECT_EQ(lines.back().at("step"), 40);
  EXPECT_TRUE(lines.back().contains("eval"));
  EXPECT_EQ(lines[1].at("tokens"), 4 * kLength);
  EXPECT_EQ(lines[1].at("raw_tokens"), 4 * 14);
  EXPECT_EQ(lines[1].at("loss_tokens"), 4 * 12);
  EXPECT_DOUBLE_EQ(lines[1].at("lr").get<double>(), 0.01);
  EXPECT_LT(lines[lines.size() - 2].at("loss").get<double>(), lines[1].at("loss").get<double>());
}

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

TEST_F(TrainLoopTest, ResumedBf16RunEqualsUninterruptedRun) {
  precision_ = "bf16";
  if (!processor_has_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  run("whole", 7);
  run("killed", 7, 5);
  run("killed", 7);
  EXPECT_EQ(metrics("killed"), metrics("whole"));
  EXPECT_EQ(weights("killed", 7), weights("whole", 7));
}

TEST_F(TrainLoopTest, MeasuresWhereTheTimeGoes) {
  TrainSetup measured = setup("measured");
  measured.profile = true;
  TrainLoop loop(std::move(measured));
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  loop.run(2, hooks);
  double seconds = 0;
  for (std::size_t i = 0; i < kPartNames.size(); ++i) {
    EXPECT_TRUE(metrics("measured")[1].at("profile").contains(kPartNames[i])) << kPartNames[i];
    seconds += loop.profile().seconds[i];
  }
  EXPECT_GT(seconds, 0);
  EXPECT_LE(seconds, loop.state().times.wall);
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
  EXPECT_EQ(metrics("hurt").size(), metrics("whole").size() + 0);
  EXPECT_EQ(weights("hurt", 9), weights("whole", 9));
}

TEST_F(TrainLoopTest, HasTheSameBitsOnOneThreadAndOnTwo) {
  set_compute_threads(1);
  run("one", 5);
  set_compute_threads(2);
  run("two", 5);
  EXPECT_EQ(metrics("one"), metrics("two"));
  EXPECT_EQ(weights("one", 5), weights("two", 5));
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

TEST_F(TrainLoopTest, CountsTheRowsOfALastIncompleteBatch) {
  TrainLoop loop(setup("short"));
  Stream stream(0, 11);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return stream(); };
  EXPECT_EQ(loop.run(6, hooks), TrainEnd::stream_ended);
  EXPECT_EQ(loop.state().step, 2u);
  EXPECT_EQ(loop.dropped_rows(), 3u);
  EXPECT_EQ(loop.state().evaluated_at, 2u);
}

TEST_F(TrainLoopTest, ChangesNothingWhenACompleteRunIsResumed) {
  run("a", 4);
  const auto before = metrics("a");
  run("a", 4);
  EXPECT_EQ(metrics("a"), before);
}

TEST_F(TrainLoopTest, AveragesMicroBatchesThatAreEachDividedByTheirOwnWeight) {
  TrainSetup whole = setup("micro");
  whole.held_out.clear();
  TrainLoop loop(std::move(whole));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return stream(); };
  double loss = 0;
  hooks.on_step = [&](const StepReport& report) { loss = report.loss; };
  loop.run(1, hooks);

  double mean = 0;
  for (const std::uint64_t first : {0u, 2u}) {
    TrainSetup half = setup("half");
    half.held_out.clear();
    half.train.batch_rows = 2;
    half.folder = folder_.path() / "half";
    TrainLoop half_loop(std::move(half));
    TrainLoop::Hooks half_hooks;
    const auto row_of_half = [first](std::uint64_t number) {
      StreamRow row = stream_row(number);
      row.row = stream_row(first + number).row;
      return row;
    };
    half_hooks.next_batch = [&] { return Batch{row_of_half(0), row_of_half(1)}; };
    half_hooks.on_step = [&](const StepReport& report) { mean += report.loss / 2; };
    half_loop.run(1, half_hooks);
    fs::remove_all(folder_.path() / "half");
  }
  EXPECT_NEAR(loss, mean, 1e-9);
}

TEST_F(TrainLoopTest, RefusesMicroBatchesThatDoNotDivideTheBatch) {
  TrainSetup bad = setup("bad");
  bad.train.micro_rows = 3;
  EXPECT_THROW(TrainLoop{std::move(bad)}, ConfigError);
}

TEST(RealisedShares, AreComparedWithTheLongestExample) {
  TrainState state;
  for (std::uint64_t number = 0; number < 8; ++number) state.add(stream_row(number));
  StreamConfig stream;
  Phase& phase = stream.phases.emplace_back();
  phase.mix.name = "m";
  phase.mix.corpora.resize(2);
  phase.mix.corpora[0].name = "prose";
  phase.mix.corpora[0].share = 700'000'000;
  phase.mix.corpora[1].name = "code";
  phase.mix.corpora[1].share = 300'000'000;
  const std::vector<PhaseShares> shares = realised_shares(state, stream, {"prose", "code"});
  ASSERT_EQ(shares.size(), 1u);
  EXPECT_EQ(shares[0].longest_example, 14u);
  EXPECT_DOUBLE_EQ(shares[0].corpora[1].realised, 0.25);
  EXPECT_NEAR(shares[0].corpora[1].off_by_tokens, 0.05 * 112, 1e-9);
  EXPECT_TRUE(shares[0].corpora[1].within_one_example);
}

}  // namespace
}  // namespace millrace
