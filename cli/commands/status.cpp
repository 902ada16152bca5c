#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/text_table.h"
#include "pipeline/json_text.h"
#include "trainer/run/run_status.h"

namespace millrace {
namespace {

struct StatusOptions {
  std::string run_folder;
  bool json = false;
};

/// "runs/mine: being trained, step 400, 52.4 M of 1 G tokens, loss 3.1416, 48.1 k tokens/s, newest checkpoint: step
/// 350"
std::string line_of(const std::string& folder, const RunStatus& run) {
  std::string text = fmt::format(
      "{}: {}, step {}, {} of {} tokens", folder, run.is_being_trained ? "being trained" : "nobody trains it", run.step,
      human_count(static_cast<double>(run.tokens)), human_count(static_cast<double>(run.total_tokens)));
  if (run.loss) text += fmt::format(", loss {:.4f}", *run.loss);
  if (run.is_being_trained && run.tokens_per_s) text += fmt::format(", {} tokens/s", human_count(*run.tokens_per_s));
  return text + (run.checkpoint ? fmt::format(", newest checkpoint: step {}\n", *run.checkpoint) : ", no checkpoint\n");
}

std::string heard(const HeardRank& rank) {
  if (rank.status.has_ended) return "";
  if (rank.is_beating) return "yes";
  return rank.status.is_told_to_end ? "ended by a signal" : fmt::format("not for {:.0f} s", rank.silent);
}

std::string table_of(const std::vector<HeardRank>& all) {
  TextTable table({{"rank"},
                   {"host", Align::left},
                   {"step"},
                   {"does, or waits for", Align::left},
                   {"for"},
                   {"of ranks", Align::left},
                   {"memory"},
                   {"heard", Align::left}});
  for (const HeardRank& rank : all) {
    const RankStatus& one = rank.status;
    table.add({fmt::format("{}", one.rank), one.host, fmt::format("{}", one.step), one.doing,
               fmt::format("{:.0f} s", one.for_seconds), fmt::format("{}", fmt::join(one.awaits, ", ")),
               human_bytes(static_cast<double>(one.memory)), heard(rank)});
  }
  return table.text();
}

Json json_of(const RunStatus& run) {
  Json ranks = Json::array();
  for (const HeardRank& rank : run.ranks) {
    ranks.push_back(rank.status);
    ranks.back()["is_heard"] = rank.is_beating;
  }
  return {{"being_trained", run.is_being_trained}, {"step", run.step}, {"tokens", run.tokens},
          {"total_tokens", run.total_tokens},      {"loss", run.loss}, {"tokens_per_s", run.tokens_per_s},
          {"checkpoint", run.checkpoint},          {"ranks", ranks}};
}

void tell_status(const StatusOptions& options) {
  const RunStatus run = run_status(options.run_folder);
  if (options.json) return print_results(json_page(json_of(run)));
  print_results(line_of(options.run_folder, run) + (run.ranks.empty() ? "" : table_of(run.ranks)));
}

}  // namespace

void add_status(CLI::App& app) {
  auto options = std::make_shared<StatusOptions>();
  const Command command(app, "status", "Where a run stands, and each of the processes that train it together");
  command.add_option("rundir", options->run_folder, "Folder of the run").required();
  command.add_flag("--json", options->json, "Print it as JSON");
  command.footer("Example:\n  millrace status runs/mine\nWhat the columns mean: docs/cluster.md");
  command.callback([options] { tell_status(*options); });
}

}  // namespace millrace
