#include "trainer/run/run_differences.h"

#include <algorithm>

#include <fmt/format.h>

#include "pipeline/config/stream_keys.h"
#include "pipeline/keys/config_difference.h"
#include "pipeline/rows/start_position.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

/// Keys of run.toml that alter neither rows nor losses.
std::set<std::string> free_keys() {
  std::set<std::string> free;
  const auto add = [&free](const auto& table) {
    for (const auto& key : table.keys())
      if (key.rule.alters == Alters::nothing) free.insert(table.dotted(key.rule));
  };
  add(run_keys());
  add(data_keys());
  add(model_keys());
  for (const KeyTable<TrainConfig>& table : train_keys()) add(table);
  return free;
}

const std::string& run_text(const RunConfig& run) {
  return run.resolved.back().second;
}

void add(RunFolder::Changes& changes, const ConfigDifference& difference, bool is_free) {
  (is_free ? changes.free : changes.asked).push_back(difference.text());
}

}  // namespace

RunFolder::Changes run_differences(const RunConfig& then, const RunConfig& now,
                                   const std::set<std::string>& same_shards) {
  RunFolder::Changes changes;
  const std::set<std::string> free = free_keys();
  for (const ConfigDifference& one : differences(run_text(then), run_text(now)))
    add(changes, one, free.contains(one.key));
  const std::size_t phases = std::min(then.stream.phases.size(), now.stream.phases.size());
  for (std::size_t p = 0; p < phases; ++p)
    for (const ConfigDifference& one : phase_differences(then.stream.phases[p], now.stream.phases[p], p))
      add(changes, one, is_only_a_name(one) || is_only_a_path(one, same_shards));
  return changes;
}

std::vector<std::string> keys_of_past_phases(const RunConfig& then, const RunConfig& now, std::size_t phase) {
  std::vector<std::string> past;
  for (const ConfigDifference& one : differences(run_text(then), run_text(now))) {
    for (std::size_t p = 0; p < phase; ++p)
      for (const std::string& table : {model_keys().name(), train_keys().front().name()})
        if (one.key.starts_with(fmt::format("{}.{}.{}.", phase_keys().name(), p, table))) past.push_back(one.text());
  }
  return past;
}

}  // namespace millrace
