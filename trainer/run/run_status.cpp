#include "trainer/run/run_status.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include <fmt/format.h>

#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/config/run_config.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kPatience(2500);  ///< A rank writes its file every second.

bool is_heard(const std::vector<HeardRank>& ranks) {
  return std::ranges::any_of(ranks, [](const HeardRank& one) { return one.is_beating && !one.status.has_ended; });
}

/// A line of a step, skipped or not, has "tokens"; one of an evaluation has "eval".
void read_last_step(const fs::path& log, RunStatus& status) {
  if (!fs::exists(log)) return;
  std::string last;
  std::uint64_t number = 0;
  for_each_line(log, [&](const std::string& line, std::uint64_t at) {
    const std::string_view text = line;
    if (text.find("\"tokens\":") == text.npos || text.find("\"eval\":") != text.npos) return;
    last = line;
    number = at;
  });
  if (last.empty()) return;
  const JsonValue json = JsonValue::parse(last, {log.string(), number, ""});
  status.step = json.get<std::uint64_t>("step");
  status.tokens = json.get<std::uint64_t>("tokens");
  if (json.has("loss")) status.loss = json.get<double>("loss");
  if (json.has("tokens_per_s")) status.tokens_per_s = json.get<double>("tokens_per_s");
}

}  // namespace

RunStatus run_status(const fs::path& folder) {
  if (!holds_run(folder)) throw ConfigError(fmt::format("{} is no run folder: it has no run.toml", folder.string()));
  RunStatus status;
  status.total_tokens = load_run({folder.string(), "", {}}).train.tokens;
  read_last_step(folder / "metrics.jsonl", status);
  if (const std::vector<std::uint64_t> steps = checkpoint_steps(folder / "checkpoints"); !steps.empty())
    status.checkpoint = steps.back();
  status.ranks = listen_to_ranks(folder, kPatience);
  status.is_being_trained = is_held(folder) || is_heard(status.ranks);
  return status;
}

bool is_being_trained(const fs::path& folder) {
  return is_held(folder) || is_heard(listen_to_ranks(folder, kPatience));
}

}  // namespace millrace
