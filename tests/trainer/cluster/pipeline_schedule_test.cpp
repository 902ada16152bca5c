#include "trainer/cluster/pipeline_schedule.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Pass = StageAction::Pass;

/// All stages of a step, each of which does its next action as soon as it can.
class Pipeline {
 public:
  Pipeline(std::size_t stages, std::size_t micro_batches)
      : done_(stages), forward_(stages), backward_(stages), in_work_(stages) {
    for (std::size_t stage = 0; stage < stages; ++stage)
      actions_.push_back(pipeline_schedule(stage, stages, micro_batches));
  }

  /// Whether all actions were done.
  bool run() {
    for (bool goes_on = true; goes_on;) {
      goes_on = false;
      for (std::size_t stage = 0; stage < done_.size(); ++stage) goes_on = step(stage) || goes_on;
    }
    for (std::size_t stage = 0; stage < done_.size(); ++stage)
      if (done_[stage] != actions_[stage].size()) return false;
    return true;
  }
  std::size_t most_in_work(std::size_t stage) const { return in_work_[stage]; }
  std::size_t forwards(std::size_t stage) const { return forward_[stage]; }
  std::size_t backwards(std::size_t stage) const { return backward_[stage]; }

 private:
  bool step(std::size_t stage) {
    if (done_[stage] == actions_[stage].size()) return false;
    const StageAction& next = actions_[stage][done_[stage]];
    if (next.pass == Pass::forward) {
      if (stage > 0 && forward_[stage - 1] <= next.micro_batch) return false;
      EXPECT_EQ(next.micro_batch, forward_[stage]++);
    } else {
      const bool is_last = stage + 1 == done_.size();
      const std::size_t ready = is_last ? forward_[stage] : backward_[stage + 1];
      if (ready <= next.micro_batch) return false;
      EXPECT_EQ(next.micro_batch, backward_[stage]++);
    }
    in_work_[stage] = std::max(in_work_[stage], forward_[stage] - backward_[stage]);
    ++done_[stage];
    return true;
  }

  std::vector<std::vector<StageAction>> actions_;
  std::vector<std::size_t> done_, forward_, backward_, in_work_;
};

TEST(PipelineSchedule, DoesEachPassOnceInOrderWithoutDeadlockAndKeepsNoMoreThanItSays) {
  for (std::size_t stages = 1; stages <= 8; ++stages) {
    for (std::size_t micro_batches = 0; micro_batches <= 20; ++micro_batches) {
      SCOPED_TRACE(testing::Message() << stages << " stages, " << micro_batches << " micro-batches");
      Pipeline pipeline(stages, micro_batches);
      ASSERT_TRUE(pipeline.run());
      for (std::size_t stage = 0; stage < stages; ++stage) {
        EXPECT_EQ(pipeline.forwards(stage), micro_batches);
        EXPECT_EQ(pipeline.backwards(stage), micro_batches);
        EXPECT_EQ(pipeline.most_in_work(stage), most_in_work(stage, stages, micro_batches));
      }
    }
  }
}

TEST(PipelineSchedule, OfOneStageIsOneMicroBatchAfterTheOther) {
  EXPECT_EQ(
      pipeline_schedule(0, 1, 2),
      (std::vector<StageAction>{{Pass::forward, 0}, {Pass::backward, 0}, {Pass::forward, 1}, {Pass::backward, 1}}));
}

TEST(PipelineSchedule, OfTheFirstOfTwoStagesIsOneMicroBatchAhead) {
  EXPECT_EQ(pipeline_schedule(0, 2, 3), (std::vector<StageAction>{{Pass::forward, 0},
                                                                  {Pass::forward, 1},
                                                                  {Pass::backward, 0},
                                                                  {Pass::forward, 2},
                                                                  {Pass::backward, 1},
                                                                  {Pass::backward, 2}}));
}

TEST(PipelineSchedule, WaitsLessWithMoreMicroBatches) {
  EXPECT_DOUBLE_EQ(bubble_share(4, 4), 3.0 / 7);
  EXPECT_DOUBLE_EQ(bubble_share(4, 16), 3.0 / 19);
  EXPECT_EQ(bubble_share(1, 4), 0);
}

}  // namespace
}  // namespace millrace
