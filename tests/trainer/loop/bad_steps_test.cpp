#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/trainer/floats.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run/summary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// A run in which a weight is NaN, or another bad value, during some steps.
class BadStepsTest : public TrainLoopTest {
 protected:
  static constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

  TrainSetup setup(const std::string& name) {
    TrainSetup setup = TrainLoopTest::setup(name);
    setup.train.max_bad_steps = 3;
    setup.train.eval_every_steps = 0;
    return setup;
  }

  /// Steps `bad`.first to `bad`.second have the bad weight.
  TrainEnd run(TrainLoop& loop, std::uint64_t total, std::pair<std::uint64_t, std::uint64_t> bad) {
    Stream stream(loop.position() ? loop.position()->row : 0);
    float& weight = floats_of(loop.backend().parameters().named("lm_head.weight").value)[0];
    TrainLoop::Hooks hooks;
    float kept = weight;
    hooks.next_batch = [&] {
      const std::uint64_t step = loop.state().step + 1;
      if (step == bad.first) kept = weight;
      if (step == bad.first) weight = bad_weight_;
      if (step == bad.second + 1) weight = kept;
      return stream();
    };
    return loop.run(total, hooks);
  }

  static std::vector<float> values(const TrainLoop& loop) { return all_floats(loop.backend().parameters()); }

  float bad_weight_ = kNaN;
};

TEST_F(BadStepsTest, AreThoseWhoseGradientsHaveNoFiniteSquare) {
  bad_weight_ = 1e12f;
  TrainLoop loop(setup("a"));
  EXPECT_EQ(run(loop, 4, {2, 2}), TrainEnd::complete);
  EXPECT_EQ(loop.state().skipped_steps, 1u);
  const auto why = step_metrics("a").at(1).at("skipped").get<std::string>();
  EXPECT_TRUE(why.starts_with("gradient norm is ") && why.find("inf") == std::string::npos) << why;
  for (const float value : values(loop)) ASSERT_TRUE(std::isfinite(value));
}

/// The embedding row that no batch reads: it affects neither loss nor gradients.
TEST_F(BadStepsTest, AreThoseWhoseUpdateWouldLeaveAWeightNotFinite) {
  for (const char* optimizer : {"adafactor", "adamw"}) {
    TrainSetup with_optimizer = setup(optimizer);
    with_optimizer.train.optimizer = optimizer;
    TrainLoop loop(with_optimizer);
    float& unused = floats_of(loop.backend().parameters().named("model.embed_tokens.weight").value).back();
    Stream stream(0);
    std::vector<float> before;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] {
      if (loop.state().step == 2) before = values(loop);
      if (loop.state().step == 2) unused = kNaN;
      if (loop.state().step == 3) {
        std::vector<float> after = values(loop);
        EXPECT_TRUE(std::isnan(unused));
        unused = 0.5F;
        std::ranges::replace_if(
            after, [](float value) { return std::isnan(value); }, before[0]);
        std::size_t different = 0;
        for (std::size_t i = 0; i < after.size(); ++i) different += after[i] == before[i] ? 0 : 1;
        EXPECT_LE(different, 1u) << "only the weight that is no number";
      }
      return stream();
    };
    EXPECT_EQ(loop.run(5, hooks), TrainEnd::complete);
    EXPECT_EQ(loop.state().skipped_steps, 1u);
    const auto why = step_metrics(optimizer).at(2).at("skipped").get<std::string>();
    EXPECT_EQ(why, "the update would leave model.embed_tokens.weight not finite, or too large to be squared");
    for (const float value : values(loop)) ASSERT_TRUE(std::isfinite(value));
  }
}

TEST_F(BadStepsTest, AreThoseWithARateThatLeadsBeyondAFloat) {
  TrainSetup too_fast = setup("a");
  too_fast.train.learning_rate = 1e36;
  TrainLoop loop(too_fast);
  Stream stream(0);
  std::vector<float> drawn;
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] {
    if (loop.state().step == 0) drawn = values(loop);
    return stream();
  };
  EXPECT_EQ(loop.run(20, hooks), TrainEnd::bad_steps);
  EXPECT_EQ(values(loop), drawn);
  EXPECT_TRUE(checkpoint_steps(folder_.path() / "a" / "checkpoints").empty());
}

TEST_F(BadStepsTest, ChangeNothingButTheStepTheRowsAndTheSchedule) {
  TrainSetup with_schedule = setup("a");
  with_schedule.train.schedule = "cosine";
  with_schedule.train.warmup_steps = 0;
  with_schedule.train.tokens = 8 * 4 * kLength;
  TrainLoop loop(with_schedule);
  EXPECT_EQ(run(loop, 4, {3, 4}), TrainEnd::complete);
  EXPECT_EQ(loop.state().skipped_steps, 2u);
  EXPECT_EQ(loop.state().bad_in_a_row, 2u);
  const auto skipped = step_metrics("a").at(2);
  EXPECT_EQ(skipped.at("step"), 3);
  EXPECT_EQ(skipped.at("tokens"), 3 * 4 * kLength);
  EXPECT_EQ(skipped.at("skipped"), "loss is nan");
  EXPECT_FALSE(skipped.contains("loss"));

  with_schedule.folder = folder_.path() / "b";
  with_schedule.checkpoints = with_schedule.folder / "checkpoints";
  fs::create_directories(with_schedule.folder);
  TrainLoop until_then(with_schedule);
  run(until_then, 2, {9, 9});
  std::vector<float> expected = values(until_then);
  std::vector<float> found = values(loop);
  ASSERT_EQ(expected.size(), found.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < found.size(); ++i) different += found[i] == expected[i] ? 0 : 1;
  EXPECT_EQ(different, 1u) << "only the weight that is no number";
}

TEST_F(BadStepsTest, AreCountedAndTheRunGoesOn) {
  TrainLoop loop(setup("a"));
  EXPECT_EQ(run(loop, 8, {3, 4}), TrainEnd::complete);
  EXPECT_EQ(loop.state().skipped_steps, 2u);
  EXPECT_EQ(loop.state().bad_in_a_row, 0u);
  EXPECT_EQ(loop.state().ledger.rows(), 32u);
  EXPECT_TRUE(metrics("a").back().contains("eval"));
  EXPECT_TRUE(step_metrics("a").back().contains("loss"));
  StreamConfig stream;
  stream.phases.resize(1);
  stream.phases[0].objective.denoisers.resize(1);
  const RunIdentity identity;
  const std::vector<std::string> corpora{"prose", "code"};
  const nlohmann::json summary(
      summary_json({.state = loop.state(), .stream = stream, .corpora = corpora, .identity = identity}));
  EXPECT_EQ(summary.at("skipped_steps"), 2);
}

TEST_F(BadStepsTest, EndTheRunWhenThereAreTooManyInARowAndSayWhatTheBatchWasMadeOf) {
  TrainLoop loop(setup("a"));
  EXPECT_EQ(run(loop, 20, {5, 20}), TrainEnd::bad_steps);
  EXPECT_EQ(loop.state().step, 7u);
  const auto bad = nlohmann::json::parse(text_of(folder_.path() / "a" / "bad_batch.json"));
  EXPECT_EQ(bad.at("step"), 7);
  EXPECT_EQ(bad.at("skipped"), "loss is nan");
  ASSERT_EQ(bad.at("rows").size(), 4u);
  EXPECT_EQ(bad.at("rows")[3].at("row"), 27);
  const auto& example = bad.at("rows")[3].at("examples")[0];
  EXPECT_EQ(example.at("corpus"), "code");
  EXPECT_EQ(example.at("denoiser"), "span");
  EXPECT_EQ(example.at("documents")[0].dump(), R"({"epoch":0,"from":0,"record":27,"shard":"code.jsonl","to":14})");
}

TEST_F(BadStepsTest, AreNotSaved) {
  TrainLoop loop(setup("a"));
  EXPECT_EQ(run(loop, 20, {5, 20}), TrainEnd::bad_steps);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "a" / "checkpoints"), (std::vector<std::uint64_t>{3}));
}

TEST_F(BadStepsTest, AreInNoUnigramCount) {
  TrainLoop loop(setup("a"));
  run(loop, 6, {3, 4});
  const auto counts = load_unigram_counts(checkpoint_path(folder_.path() / "a" / "checkpoints", 6), 128);
  std::vector<std::int64_t> expected(128, 0);
  for (std::uint64_t number = 0; number < 24; ++number) {
    if (number >= 8 && number < 16) continue;  // Rows of steps 3 and 4.
    const Row row = stream_row(number).row;
    for (std::size_t i = 0; i < row.labels.size(); ++i)
      expected[static_cast<std::size_t>(row.labels[i])] += row.loss_weights[i] != 0 ? 1 : 0;
  }
  EXPECT_EQ(counts.value().counts(), expected);
}

TEST_F(BadStepsTest, PutOffACheckpointUntilAnUpdateIsMade) {
  TrainLoop loop(setup("a"));
  run(loop, 8, {6, 6});
  EXPECT_EQ(checkpoint_steps(folder_.path() / "a" / "checkpoints"), (std::vector<std::uint64_t>{7, 8}));
}

TEST_F(BadStepsTest, InARowAreCountedOnWhenTheRunIsResumed) {
  bad_weight_ = 1e12f;  // Saved weights must be finite.
  TrainLoop loop(setup("a"));
  EXPECT_EQ(run(loop, 3, {2, 3}), TrainEnd::complete);
  TrainLoop resumed(setup("a"));
  resumed.resume();
  EXPECT_EQ(resumed.state().skipped_steps, 2u);
  EXPECT_EQ(resumed.state().bad_in_a_row, 2u);
  EXPECT_EQ(run(resumed, 20, {4, 20}), TrainEnd::bad_steps);
  EXPECT_EQ(resumed.state().step, 4u);
}

}  // namespace
}  // namespace millrace
