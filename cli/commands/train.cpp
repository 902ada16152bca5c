#include <algorithm>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/console_log.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/precision_option.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/dry_run_view.h"
#include "cli/views/memory_view.h"
#include "cli/views/training_view.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/json_text.h"
#include "pipeline/shell_word.h"
#include "stages/errors.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/distributed/launch.h"
#include "trainer/distributed/mpi_communicator.h"
#include "trainer/distributed/rank_watch.h"
#include "trainer/distributed/run_folder_check.h"
#include "trainer/metrics/process_memory.h"
#include "trainer/plan/machine_memory.h"
#include "trainer/plan/ranks_fit.h"
#include "trainer/ranked/follow_orders.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/training_run.h"

namespace millrace {
namespace {

constexpr int kWrongUseExit = 2;

struct TrainOptions {
  RunSource run;
  std::string rows;
  std::string from;
  std::string run_dir;
  std::string device;  ///< Empty: the run's.
  bool weights_only = false;
  bool resume = false;
  bool accept_changes = false;
  bool json = false;
  bool profile = false;
  bool dry_run = false;
  int threads = 0;
  std::string grid;  ///< Empty: the run's.
};

std::string bad_steps_message(const TrainingRun& run) {
  const std::size_t phase = run.loop().state().step_phase.value_or(0);
  const TrainConfig train = run.run().phase_train(phase);
  const auto& own = run.run().phases.at(phase).train;
  const bool has_own_rate = std::ranges::any_of(own, [](const auto& key) { return key.first == "learning_rate"; });
  const std::string table = has_own_rate ? fmt::format("phase.{}.train", phase) : "train";
  const std::string folder = run.folder().path().string();
  return fmt::format(
      "{0} steps in a row were skipped, the last one step {1}: loss, gradients or new weights were not finite. "
      "Training stopped; {2} says what the last batch was made of, metrics.jsonl which steps were skipped and why.\n"
      "The newest checkpoint is {3}. Go on with smaller steps:\n"
      "  millrace train {4} --resume --accept-changes --set {6}.learning_rate={5}\n"
      "or with train.clip_norm, or let more steps be skipped with train.max_bad_steps (now {0})",
      train.max_bad_steps, run.loop().state().step, (run.folder().path() / "bad_batch.json").string(),
      run.loop().newest_checkpoint(), shell_word(folder), train.learning_rate / 2, table);
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

void log_what_was_found(const TrainingRun& run) {
  for (const std::string& description : run.shards().descriptions) spdlog::info("{}", description);
  const std::vector<RankMemory> memories = run.memory_by_rank();
  spdlog::info("{}", memory_line(memories.front().plan, run.machine()));
  for (std::size_t i = 1; i < memories.size(); ++i)
    spdlog::info("memory of rank {}: {} planned", memories[i].rank,
                 human_bytes(static_cast<double>(memories[i].needed())));
  if (run.shards().taken_on_trust)
    spdlog::warn("this run was begun by a program that did not record its shards: the present ones are used unchecked");
}

void log_start(const TrainingRun& training) {
  const RunConfig& run = training.run();
  spdlog::info("{}: {} parameters, {} of {} x {} tokens, {} threads, in {}", run.stream.name,
               human_count(static_cast<double>(parameter_count(run.model))),
               steps_text(training.origin().first_step(), training.total_steps()), run.train.batch_rows,
               run.stream.sequence_length, compute_threads(), training.folder().path().string());
}

/// Trains under a progress bar.
void train_and_tell(TrainingRun& training) {
  const RunConfig& run = training.run();
  Progress progress("training", run.train.tokens, "tokens");
  TrainingRun::Told told;
  told.on_phase = [&](std::uint64_t step, std::size_t number) {
    const Phase& phase = run.stream.phases.at(number);
    spdlog::info("phase {} of {} begins in step {}: mix {}, objective {}", number + 1, run.stream.phases.size(), step,
                 phase.mix.name, phase.objective.name);
  };
  told.on_step = [&](const StepReport& report) {
    progress.update(report.tokens, fmt::format("step {}, loss {:.4f}", report.step, report.loss));
  };
  told.on_evaluation = [](std::uint64_t step, const Evaluation& evaluation) {
    spdlog::info("{}", evaluation_line(step, evaluation));
  };
  training.train(told);
  progress.finish();
}

/// The ranks of this job say what they are.
RankedRun meet(Communicator& ranks, const TrainOptions& options) {
  RankFacts mine = facts_of_this_rank();
  mine.program = fmt::format("{} ({})", MILLRACE_VERSION, mine.program);
  mine.processor = this_processor();
  mine.threads = options.threads;
  add_memory(mine);
  return {&ranks, exchange_facts(ranks, mine)};
}

/// Writes what this rank does, and ends the job when it hangs.
std::unique_ptr<RankWatch> watch(const RankedRun& job, const std::filesystem::path& folder, double stall_seconds) {
  return std::make_unique<RankWatch>(
      *job.ranks, job.facts,
      RankWatch::Options{.run_folder = folder,
                         .stall_seconds = stall_seconds,
                         .memory = resident_memory,
                         .on_stall =
                             [](const std::string& what) {
                               spdlog::error("{}; the job ends. --resume goes on", what);
                               end_all_ranks(EXIT_FAILURE);
                             },
                         .is_told_to_end = signal_came,
                         .on_gone = [](const std::string& who) { spdlog::error("{}. --resume goes on", who); }});
}

/// A rank other than 0: trains as that one says. What goes wrong here ends the job.
void follow(const RankedRun& job, int threads) {
  Communicator& ranks = *job.ranks;
  const std::string name = name_of_rank(job.facts, ranks.rank());
  leave_ending_to_another();
  std::unique_ptr<RankWatch> watching;
  try {
    set_compute_threads(threads);
    follow_orders(ranks, {.begin = [&](const std::string& text) {
                    const auto [folder, stall_seconds] = see_run(ranks, text);
                    start_log_of_rank(rank_file(folder, ranks.rank(), "log"), name);
                    spdlog::info("{}, process {}, {} threads", name, getpid(), compute_threads());
                    watching = watch(job, folder, stall_seconds);
                  }});
    return;
  } catch (const ConfigError& error) {
    spdlog::error("{}", error.what());
    end_all_ranks(kWrongUseExit);
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    end_all_ranks(EXIT_FAILURE);
  }
}

/// What the ranks of a run are, before it begins. Throws ConfigError if they cannot work together.
void check_ranks(const RankedRun& job) {
  if (const std::string fault = fault_of_ranks(job.facts); !fault.empty()) throw ConfigError(fault);
  if (const std::string warning = warning_of_ranks(job.facts); !warning.empty()) say("millrace: warning: {}", warning);
}

void log_ranks(const TrainingRun& training) {
  const RankedRun& job = training.ranks();
  if (job.ranks == nullptr) return;
  spdlog::info("{}", text_of_ranks(job.facts));
  const ProcessGrid& grid = *training.grid();
  spdlog::info("grid: {}; {} micro-batches of {} rows a replica", grid.text(),
               training.run().train.batch_rows / training.run().train.micro_rows / grid.replicas(),
               training.run().train.micro_rows);
  if (const std::string warning = bubble_warning(grid, training.run().train); !warning.empty())
    spdlog::warn("{}", warning);
  spdlog::info(
      "to stop and save: kill -USR1 on mpirun. Ctrl-C on it leaves a second, and loses the work since the last "
      "checkpoint");
}

void train(const TrainOptions& asked) {
  TrainOptions options = asked;
  if (options.weights_only && options.from.empty())
    throw ConfigError("--weights-only says what to take of a checkpoint: name it with --from");
  RankedRun job;
  if (Communicator* const ranks = join_ranks()) {
    job = meet(*ranks, options);
    options.threads = threads_of(job.facts, ranks->rank());
    if (ranks->rank() != 0) {
      follow(job, options.threads);
      return;
    }
    check_ranks(job);
  }
  TrainingRun training(
      {.run = options.run,
       .run_dir = options.run_dir,
       .rows = options.rows,
       .from = options.from,
       .weights_only = options.weights_only,
       .resume = options.resume,
       .accept_changes = options.accept_changes,
       .profile = options.profile,
       .threads = options.threads,
       .program_version = MILLRACE_VERSION,
       .ranks = job,
       .grid = options.grid},
      {.open_vocabulary = open_vocabulary,
       .on_memory = [](const RunConfig& run, const MemoryQuestion& memory,
                       const MachineMemory& machine) { refuse_what_does_not_fit(run.file.string(), memory, machine); },
       .interrupted = interrupt_requested});
  if (options.dry_run) {
    const DryRun plan{training.run(),
                      training.run_dir(),
                      training.origin(),
                      options.resume,
                      training.memory_by_rank().front().plan,
                      training.machine()};
    print_results(options.json ? plan.json() : plan.text());
    return;
  }
  training.begin();
  start_log(training.folder().log());
  log_what_was_found(training);
  std::unique_ptr<RankWatch> watching;
  if (job.ranks != nullptr) watching = watch(job, training.folder().path(), training.run().train.stall_seconds);
  training.make_ready();
  log_start(training);
  log_ranks(training);

  std::optional<SavesWhenInterrupted> saves(std::in_place);
  train_and_tell(training);
  const auto& [end, summary, not_kept] = training.sum_up();
  if (end != TrainEnd::complete && end != TrainEnd::stream_ended && !not_kept.empty()) spdlog::error("{}", not_kept);
  saves.reset();
  if (end == TrainEnd::bad_steps) throw std::runtime_error(bad_steps_message(training));
  if (end == TrainEnd::interrupted) {
    spdlog::info("interrupted after step {}; go on with: millrace train {} --resume", training.loop().state().step,
                 shell_word(training.folder().path().string()));
    throw Interrupted();
  }
  if (options.profile) write_message(profile_table(training.loop().profile()));
  print_results(options.json ? json_page(*summary) : outcome_text(*summary));
  if (!not_kept.empty()) throw std::runtime_error(not_kept);
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  const Command command(app, "train", "Train a model on a run's stream");
  add_run_options(command, options->run);
  command.add_option("--run-dir", options->run_dir, "Folder of the run; default: runs/NAME");
  command.add_option("--rows", options->rows,
                     "Take the rows from this folder, which `preprocess --format rows` made of the same run");
  command.add_option("--from", options->from,
                     "Begin a new run with weights, optimizer state and step of this checkpoint folder; its rows are "
                     "those of its own run file, from row 0");
  command.add_flag("--weights-only", options->weights_only, "With --from: take the weights alone; begin at step 0");
  command.add_flag("--resume", options->resume, "Go on from the newest valid checkpoint of the run folder");
  command.add_flag("--accept-changes", options->accept_changes, "With --resume: although the run file has changed");
  command.add_threads_option(options->threads, "Threads to compute with, and to read with", "all cores");
  add_device_option(command, options->device);
  command.add_option("--grid", options->grid,
                     "How the ranks that mpirun started are arranged: data=4,expert=8; changes no digit");
  command.add_flag("--dry-run", options->dry_run, "Say what would be done, and what memory it takes; create nothing");
  command.add_flag("--profile", options->profile, "Measure where the time goes: a table, and in metrics.jsonl");
  command.add_flag("--json", options->json, "Print the summary as JSON");
  command.footer(
      "Example:\n  millrace train mixes/runs/quickstart.toml --data data/sample\n"
      "  millrace train runs/quickstart --resume\n"
      "  mpirun -n 8 --bind-to none millrace train runs/quickstart --resume\n"
      "The run file's keys: millrace keys; what they mean: docs/runs.md. Several processes: docs/cluster.md");
  command.callback([options] {
    if (!options->device.empty()) options->run.sets.push_back(fmt::format("train.device=\"{}\"", options->device));
    train(*options);
  });
}

}  // namespace millrace
