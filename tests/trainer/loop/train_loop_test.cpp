#include "trainer/loop/train_loop.h"

#include <gtest/gtest.h>

#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {
namespace {

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
      StreamPosition after = *row.after;
      after.phase = row.number < 20 ? 0 : 1;
      row.after = std::make_shared<const StreamPosition>(after);
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
  EXPECT_EQ(loop.state().own_evaluations[0].first->at("step"), 0);
  EXPECT_EQ(loop.state().own_evaluations[0].last->at("step"), 4);
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

TEST_F(TrainLoopTest, ClipsTheNormOfAllGradientsAndLogsWhatItWas) {
  struct FirstStep {
    double gradients;       // Norm of all, as they came.
    double logged;          // What the log says it is.
    double after_clipping;  // Norm of what the weights were changed by.
  };
  const auto first_step = [&](const std::string& name, double clip_norm) {
    TrainSetup clipped = setup(name);
    clipped.train.optimizer = "adamw";
    clipped.train.weight_decay = 0;
    clipped.train.eps = 1e6;  // Makes AdamW's step proportional to the gradient.
    clipped.train.schedule = "constant";
    clipped.train.learning_rate = 1e6;
    clipped.train.clip_norm = clip_norm;
    clipped.held_out.clear();
    TrainLoop loop(clipped);
    TrainLoop::Hooks hooks;
    hooks.next_batch = Stream(0);
    loop.run(1, hooks);
    const auto optimizer = make_optimizer(clipped.train, loop.backend().device(), loop.backend().parameters());
    const nlohmann::json line = metrics(name).at(0);
    return FirstStep{optimizer->gradient_norm(), line.at("grad_norm"), line.at("update_norm")};
  };
  const FirstStep free = first_step("free", 0);
  EXPECT_DOUBLE_EQ(free.gradients, free.logged);
  EXPECT_NEAR(free.after_clipping, free.logged, 1e-5 * free.logged);
  const FirstStep clipped = first_step("clipped", free.logged / 4);
  EXPECT_NEAR(clipped.after_clipping, free.logged / 4, 1e-5 * free.logged);
  EXPECT_DOUBLE_EQ(clipped.logged, free.logged);
  EXPECT_DOUBLE_EQ(first_step("wide", 2 * free.logged).after_clipping, free.after_clipping);
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

}  // namespace
}  // namespace millrace
