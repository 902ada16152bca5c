#include <cmath>

#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/loop/train_loop.h"

namespace millrace {
namespace {

/// One step on rows 0 to 3, of which the loss counts at 12, 12, 12 - `fewer` and 12 - `fewer` positions.
struct OneStep {
  OneStep(TrainSetup setup, int micro_rows, int fewer, int loss_rows = 4) {
    setup.held_out.clear();
    setup.train.micro_rows = micro_rows;
    setup.train.loss_rows = loss_rows;
    setup.train.checkpoint_every_steps = 0;
    setup.checkpoints /= std::to_string(micro_rows);
    // Not means over positions: the experts' balance and their capacity.
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
    gradients = all_floats(loop.backend().parameters(), &Parameter::gradient);
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

TEST_F(TrainLoopTest, RowsOfALossAreDividedByAllTheirWeightWhateverTheMicroBatches) {
  const OneStep whole(setup("whole"), 4, 8);
  for (const int micro_rows : {1, 2}) {
    const OneStep parts(setup("whole"), micro_rows, 8);
    EXPECT_NEAR(parts.loss, whole.loss, 1e-6 * whole.loss);
    EXPECT_LT(distance(whole.gradients, parts.gradients), 1e-6) << "by weight over all rows: 12, 12, 4, 4 of 32";
  }
}

TEST_F(TrainLoopTest, LossesOfFewerRowsAreEachDividedByTheirOwnWeightAndThenAveraged) {
  const OneStep whole(setup("whole"), 2, 8);
  const OneStep halves(setup("whole"), 2, 8, 2);
  const OneStep rows(setup("whole"), 1, 8, 1);
  EXPECT_NEAR(halves.loss, rows.loss, 1e-6 * rows.loss) << "the rows of a half weigh the same here";
  EXPECT_LT(distance(halves.gradients, rows.gradients), 1e-6);
  EXPECT_LT(distance(halves.gradients, OneStep(setup("whole"), 1, 8, 2).gradients), 1e-6);
  EXPECT_GT(distance(whole.gradients, halves.gradients), 0.05);
}

TEST_F(TrainLoopTest, RefusesRowsOfALossThatAreNotWholeMicroBatches) {
  for (const int loss_rows : {1, 3}) {
    TrainSetup bad = setup("bad");
    bad.train.loss_rows = loss_rows;
    EXPECT_THROW(TrainLoop{std::move(bad)}, ConfigError);
  }
}

TEST_F(TrainLoopTest, RefusesMicroBatchesThatDoNotDivideTheBatch) {
  TrainSetup bad = setup("bad");
  bad.train.micro_rows = 3;
  EXPECT_THROW(TrainLoop{std::move(bad)}, ConfigError);
}

}  // namespace
}  // namespace millrace
