#include "trainer/train_loop.h"

#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "stages/errors.h"
#include "stages/philox.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/compute_threads.h"
#include "trainer/summary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr int kLength = 16;

/// Row `number` of a stream of two corpora; a function of its number.
StreamRow stream_row(std::uint64_t number) {
  StreamRow row;
  row.number = number;
  ItemRng rng(1, Purpose::generation, number);
  std::int32_t last = 0;
  for (int i = 0; i < kLength; ++i) {
    const bool padding = i >= kLength - 2;
    const auto next = padding ? 0 : static_cast<std::int32_t>(2 + (last * 3 + static_cast<int>(rng.below(3))) % 40);
    row.row.tokens.push_back(padding ? 0 : last);
    row.row.labels.push_back(next);
    row.row.loss_weights.push_back(padding || i < 2 ? 0 : 1);
    row.row.segment_ids.push_back(padding ? 0 : 1);
    row.row.positions.push_back(i);
    last = next;
  }
  ExampleOrigin origin;
  origin.example = number;
  origin.corpus = number % 4 == 3 ? 1 : 0;
  origin.raw_tokens = 14;
  origin.loss_tokens = 12;
  row.examples.push_back(origin);
  Position after;
  after.row = after.example = number + 1;
  row.after = std::make_shared<const Position>(after);
  return row;
}

struct Stream {
  explicit Stream(std::uint64_t first, std::uint64_t count = 1000) : next(first), end(count) {}

  std::optional<Batch> operator()() {
    Batch batch;
    while (batch.size() < 4 && next < end) batch.push_back(stream_row(next++));
    if (batch.empty()) return std::nullopt;
    return batch;
  }
  std::uint64_t next, end;
};

class TrainLoopTest : public testing::Test {
 protected:
  TrainLoopTest() { spdlog::set_level(spdlog::level::off); }
  ~TrainLoopTest() override { set_compute_threads(0); }

  TrainSetup setup(const std::string& name) {
    TrainSetup setup;
    setup.model = tiny_model();
    setup.train.batch_rows = 4;
    setup.train.micro_rows = 2;
    setup.train.eval_every_steps = 4;
    setup.train.checkpoint_every_steps = 3;
    setup.train.keep_last = 2;
    setup.sequence_length = kLength;
    setup.seed = 5;
    setup.corpora = {"prose", "code"};
    setup.held_out = {{"prose", {4, 5, 6, 7, 1}, 1, 20}, {"code", {8, 9, 1}, 1, 8}};
    setup.folder = folder_.path() / name;
    setup.checkpoints = setup.folder / "checkpoints";
    fs::create_directories(setup.folder);
    return setup;
  }

  /// Trains `name` until `total` steps, going on from its checkpoints; `steps`: stops dead (as if killed) after so
  /// many.
  void run(const std::string& name, std::uint64_t total, std::uint64_t steps = 1000) {
    TrainLoop loop(setup(name));
    loop.resume();
    Stream stream(loop.position() ? loop.position()->row : 0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      if (steps-- == 0) throw std::runtime_error("killed");
      return stream();
    };
    try {
      loop.run(total, hooks);
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "killed");
    }
  }

  /// metrics.jsonl without what depends on the clock.
  std::vector<nlohmann::json> metrics(const std::string& name) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(text_of(folder_.path() / name / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      lines.push_back(nlohmann::json::parse(line));
      for (const char* key : {"tokens_per_s", "step_s", "data_wait_s"}) lines.back().erase(key);
    }
    return lines;
  }
  std::string weights(const std::string& name, std::uint64_t step) {
    return text_of(checkpoint_path(folder_.path() / name / "checkpoints", step) / "model.safetensors");
  }

  TemporaryFolder folder_;
};

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
    half_hooks.next_batch = [&] { return Batch{stream_row(first), stream_row(first + 1)}; };
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
