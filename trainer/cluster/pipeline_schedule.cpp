#include "trainer/cluster/pipeline_schedule.h"

#include <algorithm>
#include <stdexcept>

namespace millrace {

std::size_t most_in_work(std::size_t stage, std::size_t stages, std::size_t micro_batches) {
  if (stage >= stages) throw std::logic_error("a stage behind the last one");
  return std::min(stages - stage, micro_batches);
}

std::vector<StageAction> pipeline_schedule(std::size_t stage, std::size_t stages, std::size_t micro_batches) {
  const std::size_t ahead = most_in_work(stage, stages, micro_batches);
  std::vector<StageAction> actions;
  for (std::size_t i = 0; i < ahead; ++i) actions.push_back({StageAction::Pass::forward, i});
  for (std::size_t i = 0; i < micro_batches; ++i) {
    actions.push_back({StageAction::Pass::backward, i});
    if (ahead + i < micro_batches) actions.push_back({StageAction::Pass::forward, ahead + i});
  }
  return actions;
}

double bubble_share(std::size_t stages, std::size_t micro_batches) {
  const auto waits = static_cast<double>(stages - 1);
  return waits / (static_cast<double>(micro_batches) + waits);
}

}  // namespace millrace
