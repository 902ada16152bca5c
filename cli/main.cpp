#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "stages/errors.h"
#include "trainer/compute_threads.h"

namespace {

constexpr int kFailure = 1;
constexpr int kWrongUse = 2;
constexpr int kInterrupted = 130;

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
    return app.exit(error) == 0 ? 0 : kWrongUse;
  } catch (const Interrupted&) {
    return kInterrupted;
  } catch (const ConfigError& error) {
    fmt::print(stderr, "millrace: {}\n", error.what());
    return kWrongUse;
  } catch (const std::exception& error) {
    fmt::print(stderr, "millrace: {}\n", error.what());
    return kFailure;
  }
}

}  // namespace

int main(int argc, char** argv) {
  millrace::let_idle_threads_sleep(argv);
  millrace::set_compute_threads(0);
  return run(argc, argv);
}
