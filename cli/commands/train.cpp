#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "cli/commands/commands.h"
#include "cli/console/console_log.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_files.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/option_checks.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/dry_run_view.h"
#include "cli/views/memory_view.h"
#include "cli/views/training_view.h"
#include "model/cost/peak_flops.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/export/stored_rows.h"
#include "pipeline/rows/start_position.h"
#include "pipeline/shell_word.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/config/run_config.h"
#include "trainer/loop/train_loop.h"
#include "trainer/optimizer/learning_rate.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/held_out_set.h"
#include "trainer/run/run_differences.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_shards.h"
#include "trainer/run/summary.h"
#include "trainer/run/vocabulary_check.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Beside those that compute and those that read: the pipeline's, the one that writes checkpoints.
constexpr int kOtherThreads = 4;

/// Beside a corpus's shard that is read: lock, log, lines of metrics, rejects and positions, events, a checkpoint being
/// written and folders being listed.
constexpr std::size_t kOtherFiles = 16;

struct TrainOptions {
  RunOptions run;
  std::string rows;
  std::string from;
  std::string run_dir;
  bool resume = false;
  bool accept_changes = false;
  bool json = false;
  bool profile = false;
  bool dry_run = false;
  int threads = 0;
};

fs::path run_dir_of(const TrainOptions& options, const RunFile& run) {
  if (!options.run_dir.empty()) return options.run_dir;
  if (fs::is_directory(options.run.run)) return options.run.run;
  return fs::path("runs") / run.stream.name;
}

std::uint64_t positions_of_a_step(const RunFile& run) {
  return static_cast<std::uint64_t>(run.train.batch_rows) * static_cast<std::uint64_t>(run.stream.sequence_length);
}

std::uint64_t rows_of_whole_steps(const RunFile& run) {
  return run.train.tokens / positions_of_a_step(run) * static_cast<std::uint64_t>(run.train.batch_rows);
}

/// The run folder keeps a copy: a run goes on although the file it was begun with is gone.
fs::path vocabulary_file(const RunFile& run, const fs::path& run_dir, bool resume) {
  const fs::path kept = run_dir / "vocab.model";
  const bool is_gone = resume && !fs::exists(run.vocabulary) && fs::exists(kept);
  return is_gone && load_run({run_dir.string(), "", {}}).vocabulary == run.vocabulary ? kept : run.vocabulary;
}

/// Those that the folder keeps, and those of corpora that are new. Where now other documents are held out (the run
/// might train on those kept) or other numbers of tokens, all are gathered anew.
std::vector<HeldOutTokens> held_out_of(const RunFolder& folder, const RunFile& run, const Vocabulary& vocabulary) {
  std::vector<HeldOutTokens> kept;
  if (fs::exists(folder.held_out())) {
    kept = load_held_out(folder.held_out(), vocabulary.hash());
    if (folder.changes().asked.empty()) return kept;
    const RunFile then = load_run({folder.path().string(), "", {}});
    if (then.stream.holdout != run.stream.holdout || then.train.eval_tokens != run.train.eval_tokens) kept.clear();
  }
  for (HeldOutTokens& corpus : held_out_ids(run.stream, vocabulary, run.train.eval_tokens)) {
    const bool known = std::ranges::any_of(kept, [&](const HeldOutTokens& k) { return k.corpus == corpus.corpus; });
    if (!known) kept.push_back(std::move(corpus));
  }
  return kept;
}

/// What the loop would refuse, before there is a folder or anything was measured.
void check_schedule(const RunFile& run) {
  const std::uint64_t steps = run.train.tokens / positions_of_a_step(run);
  if (steps == 0)
    throw ConfigError(fmt::format("{}: {} tokens are less than one batch of {} rows of {}", run.file.string(),
                                  run.train.tokens, run.train.batch_rows, run.stream.sequence_length));
  try {
    const LearningRate checked(run.train, steps);
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("{}: {}", run.file.string(), error.what()));
  }
}

/// Throws ConfigError if more was trained on than the run is to have.
void refuse_an_end_that_is_behind(const RunFile& run, const TrainState& state) {
  if (run.train.tokens >= state.ledger.positions()) return;
  throw ConfigError(
      fmt::format("{}: the run is to have {} tokens (train.tokens, or the last phase's until), but {} were "
                  "trained on already",
                  run.file.string(), run.train.tokens, state.ledger.positions()));
}

/// Throws ConfigError if the run that the folder holds would not have made the rows that were trained on.
void refuse_changed_past(const fs::path& run_dir, const StreamConfig& now, const std::optional<Position>& position,
                         const std::set<std::string>& same_shards) {
  if (!position) return;
  const RunFile then = load_run({run_dir.string(), "", {}});
  const std::vector<std::string> changes = changes_of_the_past(then.stream, now, *position, same_shards);
  if (changes.empty()) return;
  throw ConfigError(
      fmt::format("run folder {}: the past of the data cannot be changed, and {} rows of it were trained on:\n  {}\n"
                  "Later phases may be changed; for another past begin a new run with --run-dir",
                  run_dir.string(), position->row, fmt::join(changes, "\n  ")));
}

std::string bad_steps_message(const RunFile& run, const fs::path& folder, const TrainLoop& loop) {
  return fmt::format(
      "{0} steps in a row were skipped, the last one step {1}: loss, gradients or new weights were not finite. "
      "Training stopped; {2} says what the last batch was made of, metrics.jsonl which steps were skipped and why.\n"
      "The newest checkpoint is {3}. Go on with smaller steps:\n"
      "  millrace train {4} --resume --accept-changes --set train.learning_rate={5}\n"
      "or with train.clip_norm, or let more steps be skipped with train.max_bad_steps (now {0})",
      run.train.max_bad_steps, loop.state().step, (folder / "bad_batch.json").string(), loop.newest_checkpoint(),
      shell_word(folder.string()), run.train.learning_rate / 2);
}

void refuse_another_model(const fs::path& from, const RunFile& run) {
  const ModelConfig config = load_model_config(from);
  if (config == run.model) return;
  throw ConfigError(fmt::format("--from {}: its config.json is not the run's [model]: {}", from.string(),
                                model_difference(config, run.model)));
}

/// Operations a second, measured now, and said.
double measured_product_rate(const std::string& precision) {
  constexpr int kSide = 1024;
  constexpr double kSeconds = 0.1;
  const double rate = product_rate(precision_named(precision), kSide, kSeconds);
  spdlog::info("this machine: {:.0f} GFLOP/s in {}, {} threads", rate / 1e9, resolved_precision(precision),
               compute_threads());
  return rate;
}

/// Seconds and share of each measured part.
std::string profile_table(const Profile& profile) {
  const double total = std::max(std::accumulate(profile.seconds.begin(), profile.seconds.end(), 0.0), 1e-9);
  std::string table = fmt::format("\n{:<14} {:>10} {:>7}\n", "part", "seconds", "share");
  for (std::size_t i = 0; i < kPartNames.size(); ++i) {
    table += fmt::format("{:<14} {:>10.2f} {:>5.1f} %\n", kPartNames[i], profile.seconds[i],
                         100 * profile.seconds[i] / total);
  }
  return table;
}

void train(const TrainOptions& options) {
  RunFile run = load_run(options.run);
  const fs::path run_dir = run_dir_of(options, run);
  require_name(run_dir);
  const fs::path vocabulary_path = vocabulary_file(run, run_dir, options.resume);
  const Vocabulary vocabulary = open_vocabulary(vocabulary_path);
  if (run.model.vocab_size == 0) run.model.vocab_size = vocabulary.embedding_rows();
  check_vocabulary_size(run.model, run.file.string() + ": [model]", vocabulary, vocabulary_path);
  check_model_config(run.model, run.file.string() + ": [model]");
  if (!options.from.empty()) refuse_another_model(options.from, run);
  const StreamConfig whole_stream = run.stream;
  run.stream = trained_stream(run);
  check_schedule(run);
  set_compute_threads(options.threads);
  require_threads(2 * compute_threads() + kOtherThreads);
  MemoryQuestion memory = memory_question(run, vocabulary_path, compute_threads());
  const MachineMemory machine = machine_memory();
  if (options.rows.empty()) refuse_what_does_not_fit(run.file.string(), memory, machine);
  const RunShards shards = find_run_shards(run.stream, run_dir, options.resume);
  require_open_files(kOtherFiles + shards.corpora.size());
  std::optional<RowsFolder> rows;  // What the steps are fed from: these, or the pipeline.
  std::optional<DataPipeline> pipeline;
  if (!options.rows.empty()) {
    rows.emplace(options.rows, RowsFolder::Wanted{.run = whole_stream,
                                                  .trained = run.stream,
                                                  .vocabulary = vocabulary,
                                                  .rows = rows_of_whole_steps(run),
                                                  .batch_rows = run.train.batch_rows});
    memory.pipeline = rows->memory_bytes();
    refuse_what_does_not_fit(run.file.string(), memory, machine);
  }
  if (options.dry_run) {
    const DryRun plan{run, run_dir, options.resume, plan_memory(memory), machine};
    print_results(options.json ? plan.json() : plan.text());
    return;
  }

  RunFolder folder(run_dir, run.resolved, vocabulary_path, vocabulary.hash(),
                   {.resume = options.resume,
                    .accept_changes = options.accept_changes,
                    .from = options.from,
                    .changes =
                        [&] {
                          return run_differences(load_run({run_dir.string(), "", {}}), run, shards.same_shards);
                        },
                    .shards = shards.record});
  start_log(folder.log());
  for (const std::string& description : shards.descriptions) spdlog::info("{}", description);
  spdlog::info("{}", memory_line(plan_memory(memory), machine));
  if (shards.taken_on_trust)
    spdlog::warn("this run was begun by a program that did not remember its shards: they are taken as they are now");

  TrainSetup setup;
  setup.model = run.model;
  setup.train = run.train;
  setup.seed = run.stream.seed;
  setup.sequence_length = run.stream.sequence_length;
  setup.pad = vocabulary.pad();
  setup.corpora = shards.corpora;
  setup.shards = shards.shards;
  for (const Phase& phase : run.stream.phases) {
    std::vector<std::string>& names = setup.denoisers.emplace_back();
    for (const Denoiser& denoiser : phase.objective.denoisers) names.push_back(denoiser.name);
  }
  const std::vector<HeldOutTokens> held_out = held_out_of(folder, run, vocabulary);
  setup.held_out = held_out;
  setup.objective_rows = [&](std::uint32_t phase) { return held_out_rows(run.stream, phase, held_out, vocabulary); };
  setup.folder = folder.path();
  setup.checkpoints = folder.checkpoints();
  setup.identity = {.name = run.stream.name,
                    .program_version = MILLRACE_VERSION,
                    .run_hash = hash_of(run.resolved),
                    .vocabulary_hash = vocabulary.hash(),
                    .stream_version = kStreamVersion,
                    .processor = this_processor()};
  setup.product_rate = measured_product_rate(setup.train.precision);
  setup.profile = options.profile;
  const std::uint64_t total_steps = setup.steps_in(run.train.tokens);
  const RunIdentity identity = setup.identity;

  TrainLoop loop(std::move(setup));
  if (options.resume) loop.resume();
  if (!folder.from().empty() && !loop.position()) {
    refuse_another_model(folder.from(), run);
    loop.start_from(folder.from());
    spdlog::info("starting with the weights of {}", folder.from().string());
  }
  if (!folder.changes().asked.empty()) {
    refuse_changed_past(run_dir, whole_stream, loop.position(), shards.same_shards);
    refuse_an_end_that_is_behind(run, loop.state());
  }
  if (rows) {
    rows->go_to(loop.position() ? loop.position()->row : 0);
  } else {
    pipeline.emplace(
        run.stream, vocabulary, loop.position(),
        DataPipeline::Options{
            .threads = options.threads, .batch_rows = run.train.batch_rows, .interrupted = interrupt_requested});
  }
  const auto& [asked, free] = folder.changes();
  for (const std::string& change : asked) spdlog::warn("accepted change: {}", change);
  for (const std::string& change : free) spdlog::info("changed, and neither rows nor losses with it: {}", change);
  if (!asked.empty() || !free.empty()) folder.keep_changes(run.resolved, shards.record, loop.state().step);
  if (!fs::exists(folder.held_out()) || !asked.empty()) save_held_out(folder.held_out(), held_out, vocabulary.hash());
  spdlog::info("{}: {} parameters, {} steps of {} x {} tokens, {} threads, in {}", run.stream.name,
               human_count(static_cast<double>(parameter_count(run.model))), total_steps, run.train.batch_rows,
               run.stream.sequence_length, compute_threads(), folder.path().string());

  Progress progress("training", run.train.tokens, "tokens");
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return rows ? rows->next() : pipeline->next(); };
  hooks.stream_end = [&] { return rows ? rows->end() : pipeline->end(); };
  hooks.interrupted = [] { return interrupt_requested(); };
  hooks.on_phase = [&](std::uint64_t step, std::size_t number) {
    const Phase& phase = run.stream.phases.at(number);
    spdlog::info("phase {} of {} begins in step {}: mix {}, objective {}", number + 1, run.stream.phases.size(), step,
                 phase.mix.name, phase.objective.name);
  };
  hooks.on_step = [&](const StepReport& report) {
    progress.update(report.tokens, fmt::format("step {}, loss {:.4f}", report.step, report.loss));
  };
  hooks.on_evaluation = [](std::uint64_t step, const Evaluation& evaluation) {
    spdlog::info("{}", evaluation_line(step, evaluation));
  };
  std::optional<SavesWhenInterrupted> saves(std::in_place);
  const TrainEnd end = loop.run(total_steps, hooks);
  if (end == TrainEnd::complete) loop.end_stream(hooks);
  if (pipeline) pipeline->stop();
  progress.finish();
  if (end == TrainEnd::stream_ended)
    spdlog::info("the stream ended after {} of {} steps", loop.state().step, total_steps);
  if (loop.dropped_rows() > 0) spdlog::info("{} rows of a last, incomplete batch were dropped", loop.dropped_rows());

  const std::string summary = summary_json({.state = loop.state(),
                                            .stream = run.stream,
                                            .corpora = shards.corpora,
                                            .identity = identity,
                                            .end = end,
                                            .total_steps = total_steps,
                                            .dropped_rows = loop.dropped_rows(),
                                            .end_of_stream = loop.end_of_stream(),
                                            .threads = compute_threads()});
  std::string not_kept;  // Why there is no summary.json: told last, so that its text at least comes out.
  try {
    write_file_atomically(folder.summary(), summary);
  } catch (const std::system_error& error) {
    not_kept = error.what();
  }
  if (end != TrainEnd::complete && end != TrainEnd::stream_ended && !not_kept.empty()) spdlog::error("{}", not_kept);
  saves.reset();
  if (end == TrainEnd::bad_steps) throw std::runtime_error(bad_steps_message(run, folder.path(), loop));
  if (end == TrainEnd::interrupted) {
    spdlog::info("interrupted after step {}; go on with: millrace train {} --resume", loop.state().step,
                 shell_word(folder.path().string()));
    throw Interrupted();
  }
  if (options.profile) write_message(profile_table(loop.profile()));
  print_results(options.json ? summary : outcome_text(summary));
  if (!not_kept.empty()) throw std::runtime_error(not_kept);
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model on a run's stream");
  add_run_options(*command, options->run);
  command->add_option("--run-dir", options->run_dir, "Folder of the run; default: runs/NAME")->capture_default_str();
  command->add_option("--rows", options->rows,
                      "Take the rows from this folder, which `preprocess --format rows` made of the same run");
  command->add_option("--from", options->from, "Start with the weights of this checkpoint folder");
  command->add_flag("--resume", options->resume, "Go on from the newest valid checkpoint of the run folder");
  command->add_flag("--accept-changes", options->accept_changes, "With --resume: although the run file has changed");
  add_threads_option(*command, options->threads, "Threads to compute with, and to read with", "all cores");
  command->add_flag("--dry-run", options->dry_run, "Say what would be done, and what memory it takes; create nothing");
  command->add_flag("--profile", options->profile, "Measure where the time goes: a table, and in metrics.jsonl");
  command->add_flag("--json", options->json, "Print the summary as JSON");
  command->footer(
      "Example:\n  millrace train mixes/runs/quickstart.toml --data data/sample\n"
      "  millrace train runs/quickstart --resume\n"
      "The run file's keys, with defaults: docs/runs.md");
  command->callback([options] { train(*options); });
}

}  // namespace millrace
