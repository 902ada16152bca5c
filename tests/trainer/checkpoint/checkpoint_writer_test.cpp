#include "trainer/checkpoint/checkpoint_writer.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/backend/local_backend.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kPatience(10);

class CheckpointWriterTest : public TrainLoopTest {
 protected:
  /// A run whose checkpoints cannot be written from step 1 until `healed_at`, because a file has the name of their
  /// folder.
  TrainEnd run_with_a_full_disk(const TrainSetup& setup, std::uint64_t total, std::uint64_t healed_at) {
    TrainLoop loop(setup);
    TrainLoop::Hooks hooks;
    hooks.next_batch = Stream(0);
    hooks.on_step = [&](const StepReport& report) {
      if (report.step == 1) {
        fs::remove(setup.checkpoints);
        write_text(setup.checkpoints, "in the way");
      }
      if (report.step == healed_at) fs::remove(setup.checkpoints);
      // Even on a slow machine the failure is noticed some steps before writing works again, and that early enough
      // before the end.
      if (setup.save_again_after == 0 && checkpoint_steps(setup.checkpoints).empty())
        std::this_thread::sleep_for(kPatience);
    };
    return loop.run(total, hooks);
  }
};

TEST_F(CheckpointWriterTest, SavesWhatWasThereWhenItBegan) {
  TrainConfig train;
  train.optimizer = "adamw";
  LocalBackend backend(std::make_unique<CpuDevice>(Precision::f32), tiny_model(), train);
  UnigramCounts unigram(tiny_model().vocab_size);
  TrainState state;
  state.step = 3;
  const ModelConfig config = tiny_model();
  const TrainedParts parts{config, backend, unigram, state};
  const auto fill = [&](float number) {
    for (const Parameter& parameter : backend.parameters().all) std::ranges::fill(floats_of(parameter.value), number);
    for (const StateTensor& tensor : backend.optimizer().state()) std::ranges::fill(floats_of(tensor.data), number);
  };
  fill(1);
  std::promise<void> go;
  CheckpointWriter writer(folder_.path(), KeepRule{});
  writer.begin(parts, RunIdentity{}, [&] { go.get_future().wait(); });
  EXPECT_FALSE(writer.poll());
  fill(2);
  state.step = 4;
  go.set_value();
  const auto outcome = writer.wait();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->error, "");
  EXPECT_EQ(outcome->step, 3u);
  EXPECT_FALSE(writer.poll()) << "told once";
  load_checkpoint(outcome->folder, parts);
  EXPECT_EQ(state.step, 3u);
  for (const Parameter& parameter : backend.parameters().all)
    EXPECT_EQ(floats_of(parameter.value).front(), 1) << parameter.spec.name;
  for (const StateTensor& tensor : backend.optimizer().state())
    EXPECT_EQ(floats_of(tensor.data).back(), 1) << tensor.name;
}

TEST_F(CheckpointWriterTest, SavesNothingIfTheLogsCannotBeMadeToLast) {
  LocalBackend backend(std::make_unique<CpuDevice>(Precision::f32), tiny_model(), TrainConfig());
  UnigramCounts unigram(tiny_model().vocab_size);
  TrainState state;
  const ModelConfig config = tiny_model();
  CheckpointWriter writer(folder_.path(), KeepRule{});
  writer.begin({config, backend, unigram, state}, RunIdentity{}, [] { throw std::runtime_error("cannot sync"); });
  EXPECT_EQ(writer.wait()->error, "cannot sync");
  EXPECT_TRUE(checkpoint_steps(folder_.path()).empty());
}

TEST_F(CheckpointWriterTest, TriesAgainWhenTheNextCheckpointIsDue) {
  EXPECT_EQ(run_with_a_full_disk(setup("full"), 8, 4), TrainEnd::complete);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "full" / "checkpoints"), (std::vector<std::uint64_t>{6, 8}));
  run("whole", 8);
  EXPECT_EQ(metrics("full"), metrics("whole"));
  EXPECT_EQ(weights("full", 8), weights("whole", 8));
}

TEST_F(CheckpointWriterTest, TriesAgainSoonerIfTheNextOneIsFarOff) {
  TrainSetup impatient = setup("full");
  impatient.save_again_after = 0;
  impatient.train.checkpoint_every_steps = 40;
  impatient.train.keep_last = 100;
  impatient.held_out.clear();
  EXPECT_EQ(run_with_a_full_disk(impatient, 75, 55), TrainEnd::complete);
  const std::vector<std::uint64_t> steps = checkpoint_steps(impatient.checkpoints);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_GT(steps[0], 40u);
  EXPECT_LT(steps[0], 75u);
}

TEST_F(CheckpointWriterTest, EndsARunWhoseLastStepCannotBeSavedWithAnError) {
  try {
    run_with_a_full_disk(setup("full"), 7, 100);
    FAIL();
  } catch (const std::runtime_error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("the last step, 7, could not be saved"), std::string::npos) << message;
    EXPECT_NE(message.find((folder_.path() / "full" / "checkpoints").string()), std::string::npos) << message;
    EXPECT_NE(message.find("--resume"), std::string::npos) << message;
  }
}

TEST_F(CheckpointWriterTest, AdamWsStateIsSavedAndGoesOn) {
  const auto adamw = [&](const std::string& name) {
    TrainSetup result = setup(name);
    result.train.optimizer = "adamw";
    result.train.schedule = "wsd";
    result.train.learning_rate = 0.01;
    result.train.warmup_steps = 2;
    result.train.decay_share = 0.5;
    result.train.clip_norm = 0.5;
    result.train.tokens = 8 * 4 * kLength;
    return result;
  };
  const auto train = [&](const std::string& name, std::uint64_t total) {
    TrainLoop loop(adamw(name));
    loop.resume();
    TrainLoop::Hooks hooks;
    hooks.next_batch = Stream(loop.position() ? loop.position()->row : 0);
    loop.run(total, hooks);
  };
  train("whole", 8);
  train("halves", 4);
  train("halves", 8);
  EXPECT_EQ(weights("halves", 8), weights("whole", 8));
  const auto lines = step_metrics("whole");
  EXPECT_DOUBLE_EQ(lines.front().at("lr").get<double>(), 0.005);
  EXPECT_LT(lines.back().at("loss").get<double>(), lines.front().at("loss").get<double>());
}

TEST_F(CheckpointWriterTest, PausesAreMeasured) {
  TrainLoop loop(setup("a"));
  TrainLoop::Hooks hooks;
  hooks.next_batch = Stream(0);
  loop.run(7, hooks);
  EXPECT_GT(loop.state().times.checkpoint, 0);
  EXPECT_LT(loop.state().times.checkpoint, loop.state().times.wall);
}

}  // namespace
}  // namespace millrace
