#include <memory>
#include <string>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/results.h"
#include "stages/errors.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

void stop_run(const std::string& run_folder) {
  if (!holds_run(run_folder)) throw ConfigError(fmt::format("{} is no run folder: it has no run.toml", run_folder));
  ask_to_stop(run_folder);
  print_results(fmt::format(
      "asked: who trains it now, if anybody does, finishes the step, saves and ends; see {}/train.log\n", run_folder));
}

}  // namespace

void add_stop(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  const Command command(app, "stop", "End a run that is being trained, on this machine or another, after its step");
  command.add_option("rundir", *folder, "Folder of the run").required();
  command.footer(
      "Example:\n  millrace stop runs/mine\nThe run is saved, and ends with code 130; --resume goes on with it.");
  command.callback([folder] { stop_run(*folder); });
}

}  // namespace millrace
