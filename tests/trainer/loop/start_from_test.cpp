#include <limits>
#include <utility>

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/checkpoint/checkpoint.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTaken = 6;  ///< The step of the checkpoint that is started from.
constexpr std::uint64_t kLast = 11;

/// Row `number` of a stream of its own, with the content of row `number` + `skipped` of the fixture's. REQUIRES:
/// `skipped` is a multiple of 4, so that the corpora follow each other alike.
StreamRow row_behind(std::uint64_t skipped, std::uint64_t number) {
  StreamRow row = stream_row(skipped + number);
  const StreamRow own = stream_row(number);
  row.number = own.number;
  row.after = own.after;
  return row;
}

/// A run of 11 steps; and runs that start from its checkpoint of step 6, and read on in its rows as a stream of theirs.
class StartFromTest : public TrainLoopTest {
 protected:
  TrainSetup setup(const std::string& name, std::uint64_t own_steps) {
    TrainSetup setup = TrainLoopTest::setup(name);
    setup.train.optimizer = optimizer_;
    setup.train.schedule = "cosine";
    setup.train.learning_rate = optimizer_ == "adamw" ? 0.01 : 1.0;
    setup.train.warmup_steps = 3;
    setup.train.tokens = own_steps * 4 * kLength;
    setup.train.keep_last = 100;
    return setup;
  }

  /// In step `bad` a weight is not a number, so that it is skipped.
  void train_whole(std::uint64_t bad = 0) {
    TrainLoop loop(setup("whole", kLast));
    loop.resume();
    Stream stream(0);
    float& weight = floats_of(loop.backend().parameters().named("lm_head.weight").value)[0];
    float kept = 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] {
      const std::uint64_t step = loop.state().step + 1;
      if (step == bad) kept = std::exchange(weight, std::numeric_limits<float>::quiet_NaN());
      if (bad > 0 && step == bad + 1) weight = kept;
      return stream();
    };
    loop.run(kLast, hooks);
  }

  fs::path taken(const std::string& name = "whole", std::uint64_t step = kTaken) {
    return checkpoint_path(folder_.path() / name / "checkpoints", step);
  }

  /// Begins `name`, or resumes it, and trains up to step 11; killed after `steps`.
  void go_on(const std::string& name, const fs::path& from, std::uint64_t first_step, std::uint64_t steps = 1000) {
    TrainLoop loop(setup(name, kLast - first_step));
    loop.resume();
    if (!loop.position()) loop.start_from(from);
    std::uint64_t next = loop.position() ? loop.position()->row : 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      if (steps-- == 0) throw std::runtime_error("killed");
      Batch batch;
      while (batch.size() < 4) batch.push_back(row_behind(4 * first_step, next++));
      return batch;
    };
    try {
      EXPECT_EQ(loop.run(kLast, hooks), TrainEnd::complete);
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "killed");
    }
  }

  /// Of the steps behind `first_step`, what depends on weights, optimizer, schedule and the step's number alone.
  std::vector<nlohmann::json> results(const std::string& name, std::uint64_t first_step) {
    std::vector<nlohmann::json> all;
    for (const nlohmann::json& line : step_metrics(name)) {
      if (line.at("step") <= first_step) continue;
      nlohmann::json& one = all.emplace_back();
      for (const char* key : {"step", "loss", "lr", "grad_norm", "param_norm", "update_norm"}) one[key] = line.at(key);
    }
    return all;
  }

  void expect_that_it_went_on(const std::string& name, std::uint64_t first_step) {
    EXPECT_EQ(results(name, first_step).size(), kLast - first_step);
    EXPECT_EQ(results(name, first_step), results("whole", first_step));
    EXPECT_EQ(weights(name, kLast), weights("whole", kLast));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      EXPECT_EQ(text_of(taken(name, kLast) / file), text_of(taken("whole", kLast) / file)) << file;
  }

  std::string optimizer_ = "adafactor";
};

TEST_F(StartFromTest, TakesWeightsOptimizerAndStepOfAnyOptimizer) {
  for (const char* optimizer : {"adafactor", "adamw"}) {
    SCOPED_TRACE(optimizer);
    optimizer_ = optimizer;
    train_whole();
    go_on("begun", taken(), kTaken);
    expect_that_it_went_on("begun", kTaken);
    for (const char* name : {"whole", "begun"}) fs::remove_all(folder_.path() / name);
  }
}

TEST_F(StartFromTest, CountsOnlyUpdatesForTheOptimizer) {
  for (const char* optimizer : {"adafactor", "adamw"}) {
    SCOPED_TRACE(optimizer);
    optimizer_ = optimizer;
    train_whole(2);
    go_on("begun", taken(), kTaken);
    expect_that_it_went_on("begun", kTaken);
    const TrainState state = load_train_state(taken("begun", kLast)).value();
    EXPECT_EQ(state.skipped_steps, 0U) << "none of the run's own";
    EXPECT_EQ(state.updates(), kLast - 1);
    for (const char* name : {"whole", "begun"}) fs::remove_all(folder_.path() / name);
  }
}

TEST_F(StartFromTest, WorksFromARunThatWasItselfStartedFromOne) {
  train_whole(2);
  go_on("first", taken(), kTaken);
  go_on("second", taken("first", 9), 9);
  expect_that_it_went_on("second", 9);
}

TEST_F(StartFromTest, HasAStreamOfItsOwn) {
  train_whole();
  go_on("begun", taken(), kTaken);
  const TrainState state = load_train_state(taken("begun", kLast)).value();
  EXPECT_EQ(state.step, kLast);
  EXPECT_EQ(state.before.steps, kTaken);
  EXPECT_EQ(state.own_steps(), kLast - kTaken);
  EXPECT_EQ(state.position.value().row, 4 * (kLast - kTaken));
  EXPECT_EQ(state.ledger.rows(), 4 * (kLast - kTaken));
  EXPECT_EQ(state.first_loss.value().step, kTaken + 1);
  EXPECT_EQ(step_metrics("begun").front().at("tokens"), 4 * kLength);
  EXPECT_EQ(metrics("begun").front().at("step"), kTaken) << "it is evaluated before its first step";
  EXPECT_TRUE(metrics("begun").front().contains("eval"));
}

TEST_F(StartFromTest, EqualsAnUninterruptedRunWhereverItIsKilled) {
  train_whole();
  go_on("begun", taken(), kTaken);
  const auto read_state = [this](const std::string& name) {
    return nlohmann::json::parse(text_of(taken(name, kLast) / "state.json"));
  };
  for (std::uint64_t steps = 0; steps <= kLast - kTaken; ++steps) {
    SCOPED_TRACE(steps);
    const std::string name = "killed-" + std::to_string(steps);
    go_on(name, taken(), kTaken, steps);
    go_on(name, taken(), kTaken, 1);
    go_on(name, taken(), kTaken);
    EXPECT_EQ(metrics(name), metrics("begun"));
    EXPECT_EQ(weights(name, kLast), weights("begun", kLast));
    EXPECT_EQ(read_state(name), read_state("begun"));
  }
}

TEST_F(StartFromTest, SavesNothingBeforeTheRunsFirstStep) {
  train_whole();
  TrainLoop loop(setup("begun", kLast - kTaken));
  loop.start_from(taken());
  TrainLoop::Hooks hooks;
  hooks.next_batch = [] { return std::optional<Batch>(); };
  hooks.interrupted = [] { return true; };
  EXPECT_EQ(loop.run(kLast, hooks), TrainEnd::interrupted);
  EXPECT_TRUE(checkpoint_steps(folder_.path() / "begun" / "checkpoints").empty());
  fs::remove_all(folder_.path() / "begun");
  go_on("begun", taken(), kTaken);
  expect_that_it_went_on("begun", kTaken);
}

TEST_F(StartFromTest, IsOverWhereTheRunHasNoStepsOfItsOwnLeft) {
  train_whole();
  go_on("begun", taken(), kTaken);
  const auto before = metrics("begun");
  go_on("begun", taken(), kTaken, 0);
  EXPECT_EQ(metrics("begun"), before);
}

TEST_F(StartFromTest, RefusesToGoOnWithStepsOfAnotherSize) {
  train_whole();
  go_on("begun", taken(), kTaken, 4);
  TrainSetup larger = setup("begun", kLast - kTaken);
  larger.train.batch_rows = 8;
  TrainLoop loop(larger);
  EXPECT_THROW(loop.resume(), ConfigError);
}

TEST_F(StartFromTest, TakesACheckpointOfAnotherVersionOfTheStreamWhateverItsPositionIs) {
  train_whole();
  const fs::path state = taken() / "state.json";
  nlohmann::json json = nlohmann::json::parse(text_of(state));
  json["run"]["stream_version"] = kStreamVersion - 1;
  json["position"] = {{"row", 24}, {"shard_turn", 3}};
  json["ledger"] = "as another version may have written it";
  write_text(state, json.dump());
  TrainLoop loop(setup("begun", kLast - kTaken));
  const CheckpointSteps steps = loop.start_from(taken());
  EXPECT_EQ(steps.stream_version, kStreamVersion - 1);
  EXPECT_EQ(steps.step, kTaken);
  go_on("begun", taken(), kTaken);
  expect_that_it_went_on("begun", kTaken);
}

TEST_F(StartFromTest, BeginsAtStep0WithWeightsAlone) {
  train_whole();
  TrainLoop loop(setup("begun", kLast));
  loop.start_with_weights(taken());
  EXPECT_EQ(loop.state().step, 0U);
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return stream(); };
  loop.run(1, hooks);
  EXPECT_EQ(loop.state().updates(), 1U);
  EXPECT_EQ(step_metrics("begun").front().at("step"), 1);
}

}  // namespace
}  // namespace millrace
