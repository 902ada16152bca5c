#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/results.h"
#include "stages/errors.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_status.h"

namespace millrace {
namespace {

struct StopOptions {
  std::string run_folder;
  bool wait = false;
  double timeout = 0;  ///< Seconds; 0: none.
};

void wait_for_the_end(const StopOptions& options) {
  constexpr std::chrono::milliseconds kBetween(200);
  const auto began = std::chrono::steady_clock::now();
  while (is_being_trained(options.run_folder)) {
    if (interrupt_requested()) throw Interrupted();
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - began;
    if (options.timeout > 0 && waited.count() >= options.timeout)
      throw std::runtime_error(
          fmt::format("{} was asked to end {:.0f} s ago and is still being trained: it ends after the step that it is "
                      "making; {}/train.log says how far it is",
                      options.run_folder, waited.count(), options.run_folder));
    std::this_thread::sleep_for(kBetween);
  }
  const RunStatus run = run_status(options.run_folder);
  print_results(run.checkpoint
                    ? fmt::format("it has ended; the newest checkpoint is that of step {}\n", *run.checkpoint)
                    : "it has ended, without a checkpoint\n");
}

void stop_run(const StopOptions& options) {
  const std::string& folder = options.run_folder;
  if (!holds_run(folder)) throw ConfigError(fmt::format("{} is no run folder: it has no run.toml", folder));
  if (!is_being_trained(folder))
    throw ConfigError(fmt::format("{}: nobody trains it: there is nothing to stop", folder));
  ask_to_stop(folder);
  print_results(
      fmt::format("asked: who trains it finishes the step, saves and ends; see {}/train.log\n", options.run_folder));
  if (options.wait) wait_for_the_end(options);
}

}  // namespace

void add_stop(CLI::App& app) {
  auto options = std::make_shared<StopOptions>();
  const Command command(app, "stop", "End a run that is being trained, on this machine or another, after its step");
  command.add_option("rundir", options->run_folder, "Folder of the run").required();
  command.add_flag("--wait", options->wait, "Return when it has saved and ended");
  command
      .add_option("--timeout", options->timeout, "With --wait: seconds after which to give up, with code 1; 0: never")
      .not_negative();
  command.footer(
      "Example:\n  millrace stop runs/mine --wait && millrace train runs/mine --resume\nThe run is saved, and ends "
      "with code 130; --resume goes on with it. Ctrl-C while it waits takes nothing back.");
  command.callback([options] { stop_run(*options); });
}

}  // namespace millrace
