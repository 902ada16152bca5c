#include <exception>
#include <filesystem>
#include <new>
#include <sstream>
#include <system_error>

#include <CLI/CLI.hpp>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/commands/commands.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/results.h"
#include "cli/console/standard_files.h"
#include "model/stop.h"
#include "stages/errors.h"
#include "stages/io/disk.h"
#include "trainer/distributed/launch.h"
#include "trainer/run/compute_threads.h"

namespace {

constexpr int kFailure = 1;
constexpr int kWrongUse = 2;

/// Help goes to standard output, errors in the command line to standard error.
int exit_code_of(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream help;
  std::ostringstream complaint;
  const int code = app.exit(error, help, complaint);
  millrace::print_results(help.str());
  millrace::write_message(millrace::shown(complaint.str()));
  return code == 0 ? 0 : kWrongUse;
}

/// Memory and threads may run out anywhere, in code that gives no clear message.
void say_failure(const std::exception& error) {
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    millrace::say("millrace: out of memory: all of it is used, or a limit is reached (ulimit -v, a cgroup)");
  } else if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again) {
    millrace::say(
        "millrace: {}: if this is about threads, use fewer with --threads, or raise ulimit -u or a cgroup's pids.max",
        error.what());
  } else {
    millrace::say("millrace: {}", error.what());
  }
}

/// An impossible or inaccessible path is the user's error, wherever in the code it is found.
int exit_code_of(const std::exception& error) {
  const auto* system = dynamic_cast<const std::system_error*>(&error);
  const auto* place = dynamic_cast<const std::filesystem::filesystem_error*>(&error);
  const bool is_denied = place != nullptr && system->code() == std::errc::permission_denied;
  if (system == nullptr || (!is_denied && !millrace::is_impossible_path(system->code()))) {
    say_failure(error);
    return kFailure;
  }
  if (place != nullptr) {
    millrace::say("millrace: {}: {}", place->path1().string(), place->code().message());
  } else {
    millrace::say("millrace: {}", error.what());
  }
  return kWrongUse;
}

int run(int argc, char** argv) {
  using namespace millrace;
  CLI::App app{"Streams pre-training shards through versioned mixes into a mixture-of-experts trainer.", "millrace"};
  app.set_version_flag("--version", MILLRACE_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();
  add_sample(app);
  add_index(app);
  add_vocab(app);
  add_tokenize(app);
  add_mix(app);
  add_keys(app);
  add_inspect(app);
  add_trace(app);
  add_preprocess(app);
  add_init(app);
  add_train(app);
  add_eval(app);
  add_generate(app);
  add_logits(app);
  add_export(app);
  add_import(app);
  add_report(app);
  add_plan_cluster(app);
  add_status(app);
  add_stop(app);
  watch_for_interrupt();
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return exit_code_of(app, error);
  } catch (const Interrupted&) {
    return kInterruptedExit;
  } catch (const Stopped&) {
    return kInterruptedExit;
  } catch (const ConfigError& error) {
    say("millrace: {}", error.what());
    return kWrongUse;
  } catch (const std::exception& error) {
    return exit_code_of(error);
  }
}

/// As run(), then flushes the results: a command whose results cannot be written has failed.
int run_and_flush(int argc, char** argv) {
  int code = 0;
  try {
    code = run(argc, argv);
    millrace::flush_results();
  } catch (const std::exception& error) {
    if (code != 0) return code;
    say_failure(error);
    return kFailure;
  }
  return code;
}

/// Where mapped memory is limited (ulimit -v), all threads share one arena. The allocator would map 64 MiB for each
/// thread; libraries end the process with a signal where that leaves them nothing.
void map_no_more_than_needed() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) mallopt(M_ARENA_MAX, 1);
}

}  // namespace

int main(int argc, char** argv) {
  map_no_more_than_needed();
  millrace::prepare_standard_files();
  millrace::let_idle_threads_sleep(argv);
  prctl(PR_SET_NAME, "millrace");  // For ps and top: after restarting itself the program would be called "exe".
  millrace::set_compute_threads(0);
  return millrace::leave_ranks(run_and_flush(argc, argv));
}
