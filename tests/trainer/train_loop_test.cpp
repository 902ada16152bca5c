#include "trainer/train_loop.h"

#include <cmath>

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
  EXPECT_EQ(lines.size(), 40u + 2 * 11u);
  EXPECT_EQ(lines.front().at("step"), 0);
  EXPECT_TRUE(lines.front().contains("eval"));
  EXPECT_EQ(lines.back().at("step"), 40);
  EXPECT_TRUE(lines.back().contains("eval"));
  EXPECT_EQ(lines[2].at("tokens"), 4 * kLength);
  EXPECT_EQ(lines[2].at("raw_tokens"), 4 * 14);
  EXPECT_EQ(lines[2].at("loss_tokens"), 4 * 12);
  EXPECT_DOUBLE_EQ(lines[2].at("lr").get<double>(), 0.01);
  EXPECT_LT(lines[lines.size() - 3].at("loss").get<double>(), lines[2].at("loss").get<double>());
}

TEST_F(TrainLoopTest, EvaluatesWithCausalPredictionAndTheRunsOwnObjective) {
  run("a", 8);
  std::vector<std::pair<std::uint64_t, std::string>> evaluated;
  for (const auto& line : metrics("a")) {
    if (!line.contains("eval")) continue;
    evaluated.emplace_back(line.at("step"), line.at("overall").at("objective"));
    if (evaluated.back().second == "causal") continue;
    EXPECT_EQ(line.at("overall").at("tokens"), 2 * 12);
    EXPECT_TRUE(line.at("eval").at("code").is_null());
  }
  EXPECT_EQ(evaluated, (std::vector<std::pair<std::uint64_t, std::string>>{
                           {0, "causal"}, {0, "ul2"}, {4, "causal"}, {4, "ul2"}, {8, "causal"}, {8, "ul2"}}));
}

TEST_F(TrainLoopTest, EvaluatesWithTheObjectiveOfThePhaseOfTheLastRow) {
  TrainSetup phases = setup("a");
  std::vector<std::uint32_t> asked;
  phases.objective_rows = [&](std::uint32_t phase) -> std::optional<ObjectiveRows> {
    asked.push_back(phase);
    if (phase == 1) return std::nullopt;
    return ObjectiveRows{"ul2", {{"prose", {stream_row(2000).row}}}};
  };
  TrainLoop loop(std::move(phases));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] {
    std::optional<Batch> batch = stream();
    for (StreamRow& row : *batch) {
      Position after = *row.after;
      after.phase = row.number < 20 ? 0 : 1;
      row.after = std::make_shared<const Position>(after);
    }
    return batch;
  };
  std::vector<std::string> objectives;
  hooks.on_evaluation = [&](std::uint64_t, const Evaluation& evaluation) {
    objectives.push_back(evaluation.objective);
  };
  loop.run(12, hooks);
  EXPECT_EQ(objectives, (std::vector<std::string>{"causal", "ul2", "causal", "ul2", "causal", "causal"}));
  EXPECT_EQ(asked, (std::vector<std::uint32_t>{0, 1}));
  ASSERT_EQ(loop.state().own_evaluations.size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(loop.state().own_evaluations[0].first).at("step"), 0);
  EXPECT_EQ(nlohmann::json::parse(loop.state().own_evaluations[0].last).at("step"), 4);
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
    EXPECT_TRUE(step_metrics("measured").at(0).at("profile").contains(kPartNames[i])) << kPartNames[i];
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

TEST_F(TrainLoopTest, HasTheSameBitsOnOneThreadAndOnTwoAndOnThree) {
  set_compute_threads(1);
  run("one", 5);
  for (const int threads : {2, 3}) {
    const std::string name = std::to_string(threads);
    set_compute_threads(threads);
    run(name, 5);
    EXPECT_EQ(metrics(name), metrics("one"));
    EXPECT_EQ(weights(name, 5), weights("one", 5));
  }
}

TEST_F(TrainLoopTest, LogsWhatTheStepWasLike) {
  run("a", 3);
  const nlohmann::json line = step_metrics("a").at(2);
  EXPECT_EQ(line.at("step"), 3);
  EXPECT_EQ(line.at("phase"), 0);
  const nlohmann::json& corpora = line.at("ce_by_corpus");
  EXPECT_NEAR((3 * corpora.at("prose").get<double>() + corpora.at("code").get<double>()) / 4, line.at("ce"), 1e-6);
  EXPECT_NEAR(line.at("ce_by_denoiser").at("span"), line.at("ce"), 1e-6);
  EXPECT_GT(line.at("param_norm").get<double>(), line.at("update_norm").get<double>());
  EXPECT_GT(line.at("update_norm").get<double>(), 0);
  EXPECT_NEAR(line.at("router").at("load_balance").at(0), line.at("aux_loss"), 1e-9);
  EXPECT_NEAR(line.at("router").at("z").at(0), line.at("router_z_loss"), 1e-9);
  EXPECT_EQ(line.at("experts").size(), 1u);
  double all = 0;
  for (const double share : line.at("experts").at(0)) all += share;
  EXPECT_NEAR(all, 1, 1e-9);
  EXPECT_EQ(line.at("dropped_by_position").size(), static_cast<std::size_t>(kLength));
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

/// A row without tokens: what lies behind the last one, with a reject of its own.
StreamRow end_behind(std::uint64_t rows) {
  StreamRow end;
  end.number = rows;
  Position after = *stream_row(rows - 1).after;
  after.corpora[1].tail_tokens = 77;
  end.after = std::make_shared<const Position>(after);
  end.rejects.push_back({{"code.jsonl", 8, 9, 100}, RejectCause::bad_json, "torn"});
  end.reject_corpora.push_back(1);
  return end;
}

TEST_F(TrainLoopTest, TellsWhatLiesBehindTheLastRow) {
  const auto rejects = [&](const char* name) { return text_of(folder_.path() / name / "rejects.jsonl"); };
  for (const bool complete : {false, true}) {
    const char* name = complete ? "complete" : "ended";
    TrainLoop loop(setup(name));
    Stream stream(0, 11);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    hooks.stream_end = [] { return end_behind(11); };
    EXPECT_EQ(loop.run(complete ? 2 : 6, hooks), complete ? TrainEnd::complete : TrainEnd::stream_ended);
    if (complete) {
      EXPECT_FALSE(loop.end_of_stream()) << "not asked for yet";
      loop.end_stream(hooks);
    }
    EXPECT_EQ(loop.dropped_rows(), 3u);
    EXPECT_EQ(loop.end_of_stream(), *end_behind(11).after);
    EXPECT_EQ(loop.position()->row, 8u) << "a run goes on behind the last row trained on";
    EXPECT_NE(rejects(name).find("\"torn\""), std::string::npos);
  }
}

TEST_F(TrainLoopTest, TellsWhatWasPassedOverBeforeTheDataBroke) {
  TrainLoop loop(setup("broken"));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&]() -> std::optional<Batch> {
    if (stream.next == 8) throw DataError("too much is lost");
    return stream();
  };
  hooks.stream_end = [] { return end_behind(8); };
  EXPECT_THROW(loop.run(6, hooks), DataError);
  EXPECT_NE(text_of(folder_.path() / "broken" / "rejects.jsonl").find("\"torn\""), std::string::npos);
}

TEST_F(TrainLoopTest, HasEvaluatedWhatItSavesWhereTheStreamEnds) {
  const auto run_to_the_end = [&](TrainLoop& loop, std::uint64_t first) {
    Stream stream(first, 12);
    int evaluations = 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    hooks.on_evaluation = [&](std::uint64_t, const Evaluation&) { ++evaluations; };
    EXPECT_EQ(loop.run(6, hooks), TrainEnd::stream_ended);
    return evaluations;
  };
  TrainSetup three_steps = setup("ended");
  three_steps.train.eval_every_steps = 0;
  TrainLoop loop(three_steps);
  EXPECT_EQ(run_to_the_end(loop, 0), 4) << "before and after, with each objective";
  TrainLoop again(three_steps);
  again.resume();
  EXPECT_EQ(run_to_the_end(again, 12), 0);
}

TEST_F(TrainLoopTest, DoesNotTakeAPauseForSavingForAWaitForData) {
  TrainSetup always_saving = setup("a");
  always_saving.train.checkpoint_every_steps = 1;
  TrainLoop loop(always_saving);
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return stream(); };
  loop.run(8, hooks);
  EXPECT_LT(loop.state().times.data_wait, loop.state().times.checkpoint);
}

TEST_F(TrainLoopTest, SavesTheStepBeforeBadDataEndsTheRun) {
  TrainLoop loop(setup("a"));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&]() -> std::optional<Batch> {
    if (loop.state().step == 2) throw DataError("a torn line");
    return stream();
  };
  EXPECT_THROW(loop.run(6, hooks), DataError);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "a" / "checkpoints"), std::vector<std::uint64_t>{2});
}

TEST_F(TrainLoopTest, ChangesNothingWhenACompleteRunIsResumed) {
  run("a", 4);
  const auto before = metrics("a");
  run("a", 4);
  EXPECT_EQ(metrics("a"), before);
}

/// One step on rows 0 to 3, of which the loss counts at 12, 12, 12 - `fewer` and 12 - `fewer` positions.
struct OneStep {
  OneStep(TrainSetup setup, int micro_rows, int fewer) {
    setup.held_out.clear();
    setup.train.micro_rows = micro_rows;
    setup.train.checkpoint_every_steps = 0;
    setup.checkpoints /= std::to_string(micro_rows);
    // What is no mean over positions: the experts' balance and their capacity.
    setup.model.router_aux_loss_factor = 0;
    setup.model.capacity_rule = CapacityRule::dropless;
    TrainLoop loop(std::move(setup));
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      Batch batch;
      for (std::uint64_t number = 0; number < 4; ++number) {
        batch.push_back(stream_row(number));
        for (int i = 2; number >= 2 && i < 2 + fewer; ++i)
          batch.back().row.loss_weights[static_cast<std::size_t>(i)] = 0;
        if (number >= 2) batch.back().examples[0].loss_tokens -= static_cast<std::uint64_t>(fewer);
      }
      return batch;
    };
    hooks.on_step = [&](const StepReport& report) { loss = report.loss; };
    loop.run(1, hooks);
    for (const Parameter<float>& parameter : loop.parameters().all)
      gradients.insert(gradients.end(), parameter.grad, parameter.grad + parameter.spec.size());
  }
  double loss = 0;
  std::vector<float> gradients;
};

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double apart = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    apart += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(apart / size);
}

TEST_F(TrainLoopTest, MicroBatchesOfEqualWeightMakeTheWholeBatchsGradient) {
  const OneStep whole(setup("whole"), 4, 0);
  for (const int micro_rows : {1, 2}) {
    const OneStep parts(setup("whole"), micro_rows, 0);
    EXPECT_NEAR(parts.loss, whole.loss, 1e-6 * whole.loss);
    EXPECT_LT(distance(whole.gradients, parts.gradients), 1e-6);
  }
}

TEST_F(TrainLoopTest, MicroBatchesAreEachDividedByTheirOwnWeightAndThenAveraged) {
  const OneStep whole(setup("whole"), 4, 8);
  const OneStep parts(setup("whole"), 2, 8);
  const OneStep rows(setup("whole"), 1, 8);
  EXPECT_NEAR(parts.loss, rows.loss, 1e-6 * rows.loss) << "rows of one micro-batch weigh the same here";
  EXPECT_LT(distance(parts.gradients, rows.gradients), 1e-6);
  EXPECT_GT(distance(whole.gradients, parts.gradients), 0.05) << "by weight over all rows: 12, 12, 4, 4 of 32";
}

TEST_F(TrainLoopTest, ClipsTheNormOfAllGradientsAndLogsWhatItWas) {
  const auto first_step = [&](const std::string& name, double clip_norm) {
    TrainSetup clipped = setup(name);
    clipped.train.optimizer = "adamw";
    clipped.train.weight_decay = 0;
    clipped.train.eps = 1e6;  // Makes AdamW's step proportional to the gradient.
    clipped.train.schedule = "constant";
    clipped.train.learning_rate = 1e6;
    clipped.train.clip_norm = clip_norm;
    clipped.held_out.clear();
    TrainLoop loop(std::move(clipped));
    TrainLoop::Hooks hooks;
    hooks.next_batch = Stream(0);
    loop.run(1, hooks);
    return std::pair(gradient_norm(loop.parameters()), metrics(name).at(0).at("grad_norm").get<double>());
  };
  const auto [free, logged] = first_step("free", 0);
  EXPECT_DOUBLE_EQ(free, logged);
  const auto [clipped, still_logged] = first_step("clipped", free / 4);
  EXPECT_NEAR(clipped, free / 4, 1e-5 * free);
  EXPECT_DOUBLE_EQ(still_logged, free);
  EXPECT_DOUBLE_EQ(first_step("wide", 2 * free).first, free);
}

TEST_F(TrainLoopTest, SaysOnceInWhichStepAPhaseBegins) {
  std::vector<std::pair<std::uint64_t, std::size_t>> begun;
  const auto train = [&](std::uint64_t total) {
    TrainSetup phased = setup("phased");
    phased.denoisers = {{"span"}, {"causal"}};
    TrainLoop loop(std::move(phased));
    loop.resume();
    TrainLoop::Hooks hooks;
    Stream stream(loop.position() ? loop.position()->row : 0);
    hooks.next_batch = [&] {
      std::optional<Batch> batch = stream();
      for (StreamRow& row : *batch) row.examples[0].phase = row.number < 10 ? 0 : 1;
      return batch;
    };
    hooks.on_phase = [&](std::uint64_t step, std::size_t phase) { begun.emplace_back(step, phase); };
    loop.run(total, hooks);
  };
  train(2);
  train(3);
  train(5);
  EXPECT_EQ(begun, (decltype(begun){{1, 0}, {3, 1}}));
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
