// Keys that change by phase: at which step, and what is said of it.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/log_text.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/loop/train_loop.h"

namespace millrace {
namespace {

using testing::HasSubstr;

/// The second phase begins in the middle of step 4's rows, 12 to 15.
constexpr std::uint64_t kFirstRow = 14;
constexpr std::size_t kSwitch = 5;  ///< The first step whose first row is of the second phase.
constexpr std::uint64_t kSteps = 9;

class PhaseKeys : public TrainLoopTest {
 protected:
  using Change = std::function<void(PhaseTraining& second)>;

  static void change_losses_and_rate(PhaseTraining& second) {
    second.model.z_loss_factor = 0.01;
    second.model.router_z_loss_factor = 0.5;
    second.model.router_aux_loss_factor = 0.25;
    second.train.schedule = "cosine";
    second.train.learning_rate = 0.05;
    second.train.warmup_steps = 7;
  }

  TrainSetup of_two_phases(const std::string& name, const Change& change) {
    TrainSetup two = setup(name);
    two.train.tokens = kSteps * 4 * kLength;
    two.train.warmup_steps = 100;
    two.denoisers = {{"span"}, {"span"}};
    two.phases.resize(2, {two.model, two.train});
    change(two.phases[1]);
    return two;
  }

  /// Trains or goes on; stops without saving after so many steps.
  void train(const std::string& name, const Change& change, std::uint64_t steps = kSteps) {
    TrainLoop loop(of_two_phases(name, change));
    loop.resume();
    std::uint64_t next = loop.position() ? loop.position()->row : 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      if (steps-- == 0) throw std::runtime_error("killed");
      Batch batch;
      while (batch.size() < 4) {
        StreamRow row = stream_row(next++);
        row.examples.front().phase = row.number < kFirstRow ? 0 : 1;
        StreamPosition after = *row.after;
        after.phase = row.examples.front().phase;
        row.after = std::make_shared<const StreamPosition>(after);
        batch.push_back(std::move(row));
      }
      return batch;
    };
    try {
      loop.run(kSteps, hooks);
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "killed");
    }
  }
};

TEST_F(PhaseKeys, HoldFromTheFirstStepWhoseFirstRowIsOfThePhase) {
  const LogText log;
  spdlog::set_level(spdlog::level::info);
  train("run", change_losses_and_rate);
  const std::vector<nlohmann::json> lines = step_metrics("run");
  const TrainSetup setup = of_two_phases("run", change_losses_and_rate);
  ASSERT_EQ(lines.size(), kSteps);
  for (std::size_t step = 1; step <= kSteps; ++step) {
    const nlohmann::json& line = lines[step - 1];
    const PhaseTraining& phase = setup.phases[step < kSwitch ? 0 : 1];
    EXPECT_EQ(line.at("phase"), step < kSwitch - 1 ? 0 : 1) << step;  // Of the step's last example.
    EXPECT_EQ(line.at("lr"), LearningRate(phase.train, kSteps).at(step - 1)) << step;
    EXPECT_NEAR(line.at("loss").get<double>(),
                line.at("ce").get<double>() + line.at("z_loss").get<double>() +
                    phase.model.router_aux_loss_factor * line.at("aux_loss").get<double>() +
                    phase.model.router_z_loss_factor * line.at("router_z_loss").get<double>(),
                1e-9)
        << step;
    EXPECT_EQ(line.contains("keys"), step == kSwitch) << step;
  }
  EXPECT_EQ(lines[kSwitch - 1].at("keys"), nlohmann::json({{"router_aux_loss_factor", 0.25},
                                                           {"router_z_loss_factor", 0.5},
                                                           {"z_loss_factor", 0.01},
                                                           {"schedule", "cosine"},
                                                           {"learning_rate", 0.05},
                                                           {"warmup_steps", 7}}));
  EXPECT_THAT(log.text(), HasSubstr("phase 2 from step 5: router_aux_loss_factor 0.25 (before 0.01), "
                                    "router_z_loss_factor 0.5 (before 0.0001), z_loss_factor 0.01 (before 0.0001), "
                                    "schedule \"cosine\" (before \"rsqrt\"), learning_rate 0.05 (before 1), "
                                    "warmup_steps 7 (before 100)"));
}

TEST_F(PhaseKeys, WeighTheLogitsZLossOfTheirOwnStepsOnly) {
  train("changed", [](PhaseTraining& second) { second.model.z_loss_factor = 0.01; });
  train("plain", [](PhaseTraining&) {});
  const auto z_loss = [this](const std::string& name, std::size_t step) {
    return step_metrics(name)[step - 1].at("z_loss").get<double>();
  };
  EXPECT_EQ(z_loss("changed", kSwitch - 1), z_loss("plain", kSwitch - 1));
  EXPECT_NEAR(z_loss("changed", kSwitch) / z_loss("plain", kSwitch), 100, 1e-3);
  EXPECT_FALSE(step_metrics("plain")[kSwitch - 1].contains("keys"));
}

TEST_F(PhaseKeys, ReachTheOptimizer) {
  const auto norms_with = [this](const std::string& name, double weight_decay, double clip_norm) {
    const auto adamw = [&](TrainConfig& train) {
      train.optimizer = "adamw";
      train.schedule = "constant";
      train.learning_rate = 0.01;
    };
    TrainSetup two = of_two_phases(name, [](PhaseTraining&) {});
    for (PhaseTraining& phase : two.phases) adamw(phase.train);
    adamw(two.train);
    two.phases[1].train.weight_decay = weight_decay;
    two.phases[1].train.clip_norm = clip_norm;
    TrainLoop loop(two);
    std::uint64_t next = 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      Batch batch;
      while (batch.size() < 4) {
        batch.push_back(stream_row(next++));
        batch.back().examples.front().phase = batch.back().number < kFirstRow ? 0 : 1;
      }
      return batch;
    };
    loop.run(kSwitch, hooks);
    std::vector<double> norms;
    for (const nlohmann::json& line : step_metrics(name)) norms.push_back(line.at("update_norm"));
    return norms;
  };
  const std::vector<double> plain = norms_with("plain", 0.1, 0);
  for (const std::vector<double>& other : {norms_with("decayed", 0.9, 0), norms_with("clipped", 0.1, 1e-9)}) {
    ASSERT_EQ(other.size(), kSwitch);
    for (std::size_t step = 1; step < kSwitch; ++step) EXPECT_EQ(other[step - 1], plain[step - 1]) << step;
    EXPECT_NE(other[kSwitch - 1], plain[kSwitch - 1]);
  }
}

TEST_F(PhaseKeys, ChangeAtTheSameStepWhereverTheRunWasStopped) {
  train("whole", change_losses_and_rate);
  for (const std::uint64_t first : {3, 4, 5, 7}) {
    const std::string name = "stopped-" + std::to_string(first);
    train(name, change_losses_and_rate, first);
    train(name, change_losses_and_rate, 1);
    train(name, change_losses_and_rate);
    EXPECT_EQ(metrics(name), metrics("whole")) << first;
    EXPECT_EQ(weights(name, kSteps), weights("whole", kSteps)) << first;
  }
}

TEST_F(PhaseKeys, AreMarkedInTheLineOfASkippedStepToo) {
  train("run", [](PhaseTraining& second) { second.model.z_loss_factor = 1e30; });
  const nlohmann::json line = step_metrics("run")[kSwitch - 1];
  EXPECT_TRUE(line.contains("skipped"));
  EXPECT_EQ(line.at("keys"), nlohmann::json({{"z_loss_factor", 1e30}}));
}

}  // namespace
}  // namespace millrace
