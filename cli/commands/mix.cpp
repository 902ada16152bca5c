#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/memory_view.h"
#include "cli/views/mix_view.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/plan/mix_forecast.h"
#include "pipeline/reading/lanes.h"
#include "trainer/config/run_config.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/run_memory.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostPlannedTokens = 9'000'000'000'000'000'000;

struct MixOptions {
  RunSource run;  ///< Its `run` may also name a mix.
  std::string vocabulary;
  std::uint64_t tokens = 0;
  bool json = false;
};

/// The loaded arguments of the command.
struct Subject {
  ForecastRequest request;
  std::optional<RunConfig> run;  ///< Used for the memory plan.
  fs::path vocabulary_file;
  std::optional<Vocabulary> vocabulary;  ///< If it exists and is needed.
};

Subject read_subject(const MixOptions& options) {
  Subject subject;
  ForecastRequest& request = subject.request;
  const fs::path file = options.run.run;
  const bool is_mix = fs::is_regular_file(file) && !ConfigTable::read(file).has("phase");
  if (is_mix) {
    Phase phase;
    phase.mix = read_mix(ConfigTable::read(file, options.run.sets));
    phase.until = options.tokens;
    if (!options.run.data.empty())
      request.stream.data_directory = fs::absolute(options.run.data).lexically_normal().string();
    request.stream.phases.push_back(std::move(phase));
    request.horizon = static_cast<double>(options.tokens);
  } else {
    RunConfig run = load_run(options.run);
    request.stream = run.stream;
    request.horizon = static_cast<double>(options.tokens > 0 ? options.tokens : run.train.tokens);
    subject.vocabulary_file = run.vocabulary;
    subject.run = std::move(run);
  }
  const bool asked = !options.vocabulary.empty();
  if (asked) subject.vocabulary_file = options.vocabulary;
  const bool needed = request.has_data() || (subject.run && subject.run->model.vocab_size == 0);
  // A vocabulary given as an option must exist; a run's own may not exist yet.
  if (asked || (needed && fs::exists(subject.vocabulary_file)))
    subject.vocabulary.emplace(open_vocabulary(subject.vocabulary_file));
  return subject;
}

void plan_training(const Subject& subject, const std::vector<RunCorpus>& corpora, MixView& view) {
  if (!subject.run) return;
  RunConfig run = *subject.run;
  if (run.model.vocab_size == 0 && subject.vocabulary) run.model.vocab_size = subject.vocabulary->embedding_rows();
  view.parameters = parameter_counts(run.model);
  if (run.model.vocab_size == 0) return;
  check_model_config(run.model, run.file.string() + ": [model]");
  const MemoryQuestion memory = memory_question(run, corpora, subject.vocabulary_file, compute_threads());
  view.memory = plan_memory(memory);
  view.machine = machine_memory();
  view.memory_advice = memory_advice(memory, view.machine);
}

void plan(const MixOptions& options) {
  const Subject subject = read_subject(options);
  MixForecast forecast;
  MixView view{subject.request, forecast, subject.vocabulary_file};
  forecast = forecast_mix(subject.request, subject.vocabulary ? &*subject.vocabulary : nullptr,
                          {.interrupted = interrupt_requested});
  if (subject.run && subject.request.has_data()) view.reading = reading_plans(subject.run->stream, forecast.corpora);
  plan_training(subject, forecast.corpora, view);
  print_results(options.json ? view.json() : view.text());
}

void add_plan_command(CLI::App& mix, const std::string& name, const std::string& description) {
  const auto options = std::make_shared<MixOptions>();
  const Command command(mix, name, description);
  add_run_options(command, options->run);
  command.add_option("--tokens", options->tokens, "Horizon in positions (rows x sequence length)")
      .count_from(0, kMostPlannedTokens);
  command.add_option("--vocab", options->vocabulary,
                     "SentencePiece .model to count tokens with; default: the run's vocab");
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer(
      fmt::format("Example:\n  millrace mix {0} mixes/runs/openmoe-8b.toml --tokens 1.1e12\n"
                  "  millrace mix {0} mixes/runs/quickstart.toml --data data/sample",
                  name));
  command.callback([options] { plan(*options); });
}

}  // namespace

void add_mix(CLI::App& app) {
  const Command mix(app, "mix", "Check, plan and compare mixes");
  mix.require_subcommand();
  add_plan_command(mix.app(), "check",
                   "Check a mix or a run: its shares, and that every corpus has shards under --data");
  add_plan_command(mix.app(), "plan", "Show what a mix or a run takes from each corpus up to a horizon");
  add_mix_diff(mix.app());
}

}  // namespace millrace
