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
#include "stages/errors.h"
#include "trainer/distributed/rank_status.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

struct StatusOptions {
  std::string run_folder;
  bool json = false;
};

std::string table_of(const std::vector<RankStatus>& all, double now) {
  TextTable table({{"rank"},
                   {"host", Align::left},
                   {"step"},
                   {"does, or waits for", Align::left},
                   {"for"},
                   {"of ranks", Align::left},
                   {"memory"},
                   {"heard"}});
  for (const RankStatus& one : all)
    table.add({fmt::format("{}", one.rank), one.host, fmt::format("{}", one.step), one.doing,
               fmt::format("{:.0f} s", one.for_seconds), fmt::format("{}", fmt::join(one.awaits, ", ")),
               human_bytes(static_cast<double>(one.memory)), fmt::format("{:.0f} s ago", now - one.time)});
  return table.text();
}

void tell_status(const StatusOptions& options) {
  if (!holds_run(options.run_folder))
    throw ConfigError(fmt::format("{} is no run folder: it has no run.toml", options.run_folder));
  const std::vector<RankStatus> all = read_statuses(options.run_folder);
  if (options.json) {
    print_results(json_page(Json{{"time", seconds_since_1970()}, {"ranks", all}}));
    return;
  }
  if (all.empty()) {
    print_results(
        fmt::format("{} has no ranks/*.status: several processes never trained it; its train.log says how far it is\n",
                    options.run_folder));
    return;
  }
  print_results(table_of(all, seconds_since_1970()));
}

}  // namespace

void add_status(CLI::App& app) {
  auto options = std::make_shared<StatusOptions>();
  const Command command(app, "status", "Where each of the processes is that train a run together");
  command.add_option("rundir", options->run_folder, "Folder of the run").required();
  command.add_flag("--json", options->json, "Print it as JSON");
  command.footer("Example:\n  millrace status runs/mine\nWhat the columns mean: docs/cluster.md");
  command.callback([options] { tell_status(*options); });
}

}  // namespace millrace
