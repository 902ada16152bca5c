#include <exception>
#include <new>
#include <sstream>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/messages.h"
#include "cli/results.h"
#include "cli/standard_files.h"
#include "stages/errors.h"
#include "trainer/compute_threads.h"

namespace {

constexpr int kFailure = 1;
constexpr int kWrongUse = 2;
constexpr int kInterrupted = 130;

/// Help goes to standard output, complaints about the command line to standard error.
int exit_code_of(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream help;
  std::ostringstream complaint;
  const int code = app.exit(error, help, complaint);
  millrace::print_results(help.str());
  millrace::write_message(millrace::shown(complaint.str()));
  return code == 0 ? 0 : kWrongUse;
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
  add_inspect(app);
  add_trace(app);
  add_preprocess(app);
  add_train(app);
  add_eval(app);
  add_generate(app);
  add_logits(app);
  add_report(app);
  watch_for_interrupt();
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return exit_code_of(app, error);
  } catch (const Interrupted&) {
    return kInterrupted;
  } catch (const ConfigError& error) {
    say("millrace: {}", error.what());
    return kWrongUse;
  } catch (const std::bad_alloc&) {
    say("millrace: the system gives no more memory: all of it is used, or a limit is reached (ulimit -v, a cgroup)");
    return kFailure;
  } catch (const std::exception& error) {
    say("millrace: {}", error.what());
    return kFailure;
  }
}

/// As run(), and then the results are out: a command that succeeded but for them has failed.
int run_and_flush(int argc, char** argv) {
  int code = 0;
  try {
    code = run(argc, argv);
    millrace::flush_results();
  } catch (const std::exception& error) {
    if (code != 0) return code;
    millrace::say("millrace: {}", error.what());
    return kFailure;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  millrace::prepare_standard_files();
  millrace::let_idle_threads_sleep(argv);
  millrace::set_compute_threads(0);
  return run_and_flush(argc, argv);
}
