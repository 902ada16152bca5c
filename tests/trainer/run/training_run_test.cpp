#include "trainer/run/training_run.h"

#include <filesystem>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/tiny_vocabulary.h"
#include "tests/trainer/file_text.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSteps = 6;

/// A run file of six steps of a tiny model.
class TrainingRunTest : public testing::Test {
 protected:
  TrainingRunTest() {
    std::string lines;
    for (std::uint64_t i = 0; i < 200; ++i) lines += "{\"text\": \"" + tiny_text(i, 40) + "\"}\n";
    folder_.write("data/a/part.jsonl", lines);
    write_tiny_model(folder_.path() / "vocab.model");
    folder_.write("mix.toml",
                  "name = \"mix\"\n[[corpus]]\nname = \"a\"\nkind = \"text\"\nshare = 100\nshards = [\"a\"]\n");
    folder_.write(
        "causal.toml",
        "name = \"causal\"\nlayout = \"full\"\n[[denoiser]]\nname = \"causal\"\nkind = \"causal\"\nshare = 100\n");
    folder_.write("run.toml",
                  "vocab = \"vocab.model\"\nsequence_length = 32\n"
                  "[[phase]]\nuntil = 768\nmix = \"mix.toml\"\nobjective = \"causal.toml\"\n"
                  "[data]\ndirectory = \"data\"\nholdout = 0.1\n"
                  "[model]\npreset = \"openmoe-nano\"\nhidden_size = 32\nintermediate_size = 48\n"
                  "num_hidden_layers = 2\nnum_attention_heads = 2\nhead_dim = 16\nnum_experts = 4\n"
                  "moe_layer_interval = 2\n"
                  "[train]\nbatch_rows = 4\nprecision = \"f32\"\n[eval]\ntokens = 64\n[checkpoint]\nevery_steps = 2\n");
  }

  TrainingRun::Options options(const std::string& run_dir, bool resume = false) const {
    TrainingRun::Options options;
    options.run.run = (folder_.path() / "run.toml").string();
    options.run_dir = folder_.path() / run_dir;
    options.resume = resume;
    options.threads = 1;
    options.program_version = "test";
    return options;
  }

  struct Trained {
    TrainingRun::Outcome outcome;
    std::uint64_t steps = 0;  ///< Reported steps.
    std::string weights;      ///< Weights of the last checkpoint.
  };
  /// Runs from the file to the summary; requests a stop after `stop_after` reported steps.
  static Trained train(TrainingRun::Options options, std::uint64_t stop_after = kSteps + 1) {
    Trained trained;
    TrainingRun::Hooks hooks;
    hooks.interrupted = [&] { return trained.steps >= stop_after; };
    TrainingRun run(std::move(options), hooks);
    run.begin();
    run.make_ready();
    TrainingRun::Told told;
    told.on_phase = [](std::uint64_t, std::size_t) {};
    told.on_step = [&](const StepReport&) { ++trained.steps; };
    told.on_evaluation = [](std::uint64_t, const Evaluation&) {};
    run.train(told);
    trained.outcome = run.sum_up();
    EXPECT_EQ(text_of(run.folder().summary()), json_page(*trained.outcome.summary));
    const std::string last = "step-00000" + std::to_string(run.loop().state().step);
    trained.weights = text_of(run.folder().checkpoints() / last / "model.safetensors");
    return trained;
  }

  TemporaryFolder folder_;
};

TEST_F(TrainingRunTest, TrainsToItsEndAndSumsUp) {
  const Trained trained = train(options("run"));
  EXPECT_EQ(trained.outcome.end, TrainEnd::complete);
  EXPECT_EQ(trained.outcome.not_kept, "");
  EXPECT_EQ(trained.steps, kSteps);
  const nlohmann::json summary = *trained.outcome.summary;
  EXPECT_EQ(summary.at("steps"), kSteps);
  EXPECT_EQ(summary.at("total_steps"), kSteps);
  EXPECT_EQ(summary.at("versions").at("millrace"), "test");
}

TEST_F(TrainingRunTest, WritesNothingBeforeItIsBegun) {
  const TrainingRun run(options("run"), {});
  EXPECT_EQ(run.total_steps(), kSteps);
  EXPECT_EQ(run.shards().corpora.at(0).shards, std::vector<std::string>{"a/part.jsonl"});
  EXPECT_GT(run.memory_by_rank().front().plan.total(), 0U);
  EXPECT_FALSE(fs::exists(run.run_dir()));
}

TEST_F(TrainingRunTest, IsNotBegunIfItsMemoryIsRefused) {
  struct TooMuch {};
  TrainingRun::Hooks hooks;
  hooks.on_memory = [](const RunConfig&, const MemoryQuestion&, const MachineMemory&) { throw TooMuch(); };
  EXPECT_THROW(TrainingRun(options("run"), hooks), TooMuch);
  EXPECT_FALSE(fs::exists(folder_.path() / "run"));
}

TEST_F(TrainingRunTest, GoesOnWhereItWasInterruptedToTheSameWeights) {
  const Trained whole = train(options("whole"));
  const Trained first = train(options("stopped"), 3);
  EXPECT_EQ(first.outcome.end, TrainEnd::interrupted);
  EXPECT_EQ(first.steps, 3U);
  const Trained rest = train(options("stopped", true));
  EXPECT_EQ(rest.outcome.end, TrainEnd::complete);
  EXPECT_EQ(rest.steps, kSteps - 3);
  EXPECT_EQ(rest.weights, whole.weights);
}

TEST_F(TrainingRunTest, TrainsOnTheShardsThatItFoundWhenItWasOpened) {
  const Trained whole = train(options("whole"));
  TrainingRun run(options("run"), {});
  folder_.write("data/a/0-comes-first.jsonl", "{\"text\": \"" + tiny_text(999, 4000) + "\"}\n");
  run.begin();
  run.make_ready();
  run.train({[](std::uint64_t, std::size_t) {}, [](const StepReport&) {}, [](std::uint64_t, const Evaluation&) {}});
  run.sum_up();
  EXPECT_EQ(text_of(run.folder().checkpoints() / "step-000006" / "model.safetensors"), whole.weights);
  EXPECT_EQ(text_of(run.folder().held_out()), text_of(folder_.path() / "whole" / "heldout.safetensors"));
}

TEST_F(TrainingRunTest, GoesOnFromACheckpointInAStreamOfItsOwn) {
  train(options("first"));
  TrainingRun::Options from = options("next");
  from.from = folder_.path() / "first" / "checkpoints" / "step-000004";
  from.run.sets = {"train.tokens=640"};
  const Trained whole = train(from);
  EXPECT_EQ(whole.steps, 5U);
  const nlohmann::json summary = *whole.outcome.summary;
  EXPECT_EQ(summary.at("steps"), 9);
  EXPECT_EQ(summary.at("total_steps"), 9);
  EXPECT_EQ(summary.at("rows"), 20);
  EXPECT_EQ(summary.at("from").at("step"), 4);

  from.run_dir = folder_.path() / "stopped";
  EXPECT_EQ(train(from, 2).outcome.end, TrainEnd::interrupted);
  TrainingRun::Options again = options("stopped", true);
  again.run.sets = from.run.sets;
  const Trained rest = train(again);
  EXPECT_EQ(rest.steps, 3U);
  EXPECT_EQ(rest.weights, whole.weights);
  again.from = folder_.path() / "first" / "checkpoints" / "step-000006";
  TrainingRun other(again, {});
  EXPECT_THROW(other.begin(), ConfigError);
}

TEST_F(TrainingRunTest, GoesOnFromACheckpointWithOtherFactorsOfLosses) {
  train(options("first"));
  TrainingRun::Options from = options("next");
  from.from = folder_.path() / "first" / "checkpoints" / "step-000004";
  from.run.sets = {"model.router_z_loss_factor=0.5", "model.dropout_rate=0.25", "phase.0.model.z_loss_factor=0.125"};
  EXPECT_EQ(train(from).steps, kSteps);
  from.run_dir = folder_.path() / "another";
  from.run.sets = {"model.router_group_size=7"};
  EXPECT_THROW(TrainingRun(from, {}), ConfigError);
}

/// The text of what is refused.
std::string refusal(const TrainingRun::Options& options) {
  try {
    TrainingRun run(options, {});
    run.begin();
    run.make_ready();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing was refused";
}

TEST_F(TrainingRunTest, TakesOtherKeysOfPhasesThatAreNotBehind) {
  const std::vector<std::string> first = {"phase.0.until=384"};
  std::string text = text_of(folder_.path() / "run.toml");
  text.insert(text.find("[data]"), "[[phase]]\nuntil = 768\nmix = \"mix.toml\"\nobjective = \"causal.toml\"\n");
  folder_.write("run.toml", text);
  TrainingRun::Options begun = options("run");
  begun.run.sets = first;
  EXPECT_EQ(train(begun, 5).steps, 5U);  // Step 4 is the second phase's first.

  TrainingRun::Options again = options("run", true);
  again.run.sets = {"phase.0.until=384", "phase.1.model.z_loss_factor=0.5"};
  EXPECT_THAT(refusal(again), testing::HasSubstr("phase.1.model.z_loss_factor (unset) -> 0.5"));
  again.accept_changes = true;
  TrainingRun::Options past = again;
  past.run.sets.push_back("phase.0.train.learning_rate=0.5");
  EXPECT_THAT(refusal(past), testing::HasSubstr("these keys are those of phases that are behind, and would change "
                                                "nothing:\n  phase.0.train.learning_rate (unset) -> 0.5"));
  EXPECT_EQ(train(again).steps, 1U);
}

TEST_F(TrainingRunTest, RefusesAPhaseWhoseScheduleHasNoRoom) {
  TrainingRun::Options wrong = options("run");
  wrong.run.sets = {"phase.0.train.schedule=cosine", "phase.0.train.learning_rate=1", "phase.0.train.warmup_steps=9"};
  EXPECT_THAT(refusal(wrong), testing::HasSubstr("run.toml: in phase.0, train.warmup_steps is 9"));
}

TEST_F(TrainingRunTest, TakesNoOtherOptimizersStateAndMakesNoFolder) {
  train(options("first"));
  TrainingRun::Options from = options("next");
  from.from = folder_.path() / "first" / "checkpoints" / "step-000006";
  from.run.sets = {"train.optimizer=adamw", "train.learning_rate=0.001"};
  EXPECT_THROW(TrainingRun(from, {}), ConfigError);
  EXPECT_FALSE(fs::exists(folder_.path() / "next"));
  from.weights_only = true;
  const Trained trained = train(from);
  EXPECT_EQ(trained.steps, kSteps);
  EXPECT_TRUE(trained.outcome.summary->at("from").at("step").is_null());
}

TEST_F(TrainingRunTest, RefusesAFolderThatHoldsARunUnlessItGoesOn) {
  train(options("run"));
  TrainingRun again(options("run"), {});
  EXPECT_THROW(again.begin(), ConfigError);
}

}  // namespace
}  // namespace millrace
