#include "trainer/run/run_differences.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "pipeline/config/config_difference.h"
#include "pipeline/rows/start_position.h"

namespace millrace {
namespace {

/// Of run.toml. What ends in a point is a table.
constexpr std::array<std::string_view, 11> kFree{
    "name",        "vocab", "data.directory",  "data.on_bad_data",    "data.max_bad_fraction", "data.allow_unreadable",
    "checkpoint.", "log.",  "train.recompute", "train.max_bad_steps", "eval.every_steps"};

bool is_free(const std::string& key) {
  return std::ranges::any_of(
      kFree, [&](std::string_view free) { return free.ends_with('.') ? key.starts_with(free) : key == free; });
}

const std::string& run_text(const RunFile& run) {
  return run.resolved.back().second;
}

void add(RunFolder::Changes& changes, const ConfigDifference& difference, bool free) {
  (free ? changes.free : changes.asked).push_back(difference.text());
}

}  // namespace

RunFolder::Changes run_differences(const RunFile& then, const RunFile& now, const std::set<std::string>& same_shards) {
  RunFolder::Changes changes;
  for (const ConfigDifference& one : differences(run_text(then), run_text(now))) add(changes, one, is_free(one.key));
  const std::size_t phases = std::min(then.stream.phases.size(), now.stream.phases.size());
  for (std::size_t p = 0; p < phases; ++p)
    for (const ConfigDifference& one : phase_differences(then.stream.phases[p], now.stream.phases[p], p))
      add(changes, one, is_only_a_name(one) || is_only_a_path(one, same_shards));
  return changes;
}

}  // namespace millrace
