#include "cli/views/order_view.h"

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"

namespace millrace {

std::string order_table(const std::vector<RunCorpus>& corpora, const std::vector<ReadingPlan>& plans) {
  TextTable table({{"order", Align::left}, {"shards at once"}, {"window"}, {"memory"}, {"to go on, read again up to"}});
  const auto add = [&](const std::string& name, std::size_t lanes, std::uint64_t memory, std::uint64_t replay,
                       const std::string& window) {
    table.add({name, fmt::format("{}", lanes), window, human_bytes(static_cast<double>(memory)),
               human_bytes(static_cast<double>(replay))});
  };
  std::size_t lanes = 0;
  std::uint64_t memory = 0;
  std::uint64_t replay = 0;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const ReadingPlan& plan = plans[i];
    add(corpora[i].corpus.name, plan.lanes, plan.memory_bytes(), plan.replay_bytes(),
        fmt::format("{} tokens", human_count(static_cast<double>(plan.window))));
    lanes += plan.lanes;
    memory += plan.memory_bytes();
    replay += plan.replay_bytes();
  }
  add("all", lanes, memory, replay, "");
  return table.text();
}

}  // namespace millrace
