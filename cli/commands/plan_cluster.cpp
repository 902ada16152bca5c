#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/cluster_view.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/shell_word.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/config/run_config.h"
#include "trainer/distributed/launch.h"
#include "trainer/distributed/mpi_communicator.h"
#include "trainer/distributed/one_rank.h"
#include "trainer/distributed/orders.h"
#include "trainer/distributed/rank_facts.h"
#include "trainer/plan/cluster.h"
#include "trainer/plan/cluster_plan.h"
#include "trainer/plan/measure_cluster.h"
#include "trainer/plan/ranks_fit.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/run_memory.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostRanks = 1 << 16;

struct PlanClusterOptions {
  bool measure = false;
  std::string out;
  std::string precision = "auto";
  int threads = 0;
  RunSource run;
  int ranks = 0;
  std::string cluster;
  std::string grid;
  int best = 5;
  bool json = false;
};

/// The run with the vocabulary's size filled in.
RunConfig read_run(const RunSource& source) {
  RunConfig run = load_run(source);
  if (run.model.vocab_size == 0) {
    if (!std::filesystem::exists(run.vocabulary))
      throw ConfigError(
          fmt::format("{}: vocab: no file {}, so the model's size is not known; name the vocabulary with "
                      "--set vocab=PATH, or its size with --set model.vocab_size=256384 (umT5's)",
                      run.file.string(), run.vocabulary.string()));
    run.model.vocab_size = open_vocabulary(run.vocabulary).embedding_rows();
  }
  check_model_config(run.model, run.file.string() + ": [model]");
  return run;
}

double positions_of(const RunConfig& run) {
  const StreamConfig stream = trained_stream(run);
  return static_cast<double>(stream.phases.back().until);
}

/// Progress of a measurement.
void tell(Progress& progress, int done, const std::string& what) {
  progress.update(static_cast<std::uint64_t>(done), what);
  if (interrupt_requested()) throw Interrupted();
}

/// Before ten seconds are spent.
void check_out(const std::filesystem::path& out) {
  const std::filesystem::path folder = out.parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    throw ConfigError(fmt::format("--out {}: there is no folder {}; make it first", out.string(), folder.string()));
  if (std::filesystem::is_directory(out))
    throw ConfigError(fmt::format("--out {}: is a folder, expected a file's name", out.string()));
}

/// As rank 0, or alone: the others measure with it.
void measure_and_tell(Communicator& ranks, const std::vector<RankFacts>& facts, ClusterMeasurement how,
                      const PlanClusterOptions& options) {
  std::optional<Progress> progress;
  how.on_part = [&](int done, int of, const std::string& what) {
    if (!progress) progress.emplace("measuring", static_cast<std::uint64_t>(of), "parts");
    tell(*progress, done, what);
  };
  const MeasuredCluster found = measure_cluster(ranks, facts, how);
  if (progress) progress->finish();
  const MeasuredClusterView view{found, text_of_ranks(facts)};
  if (!options.out.empty()) write_file_atomically(options.out, view.text());
  print_results(options.json ? view.json() : view.text());
  for (const std::string& line : found.not_measured) say("millrace: not measured: {}", line);
  if (!options.out.empty())
    say("millrace: {} is written; plan with --cluster {}", options.out, shell_word(options.out));
}

void measure(const PlanClusterOptions& options) {
  OneRank alone;
  Communicator* const joined = join_ranks();
  Communicator& ranks = joined == nullptr ? static_cast<Communicator&>(alone) : *joined;
  RankFacts mine = facts_of_this_rank();
  mine.program = MILLRACE_VERSION;
  mine.processor = this_processor();
  mine.threads = options.threads;
  add_memory(mine);
  const std::vector<RankFacts> facts = joined == nullptr ? std::vector<RankFacts>{mine} : exchange_facts(ranks, mine);
  const int threads = threads_of(facts, ranks.rank());
  set_compute_threads(threads);
  const ClusterMeasurement how{.precision = resolved_precision(options.precision), .threads = threads};
  if (ranks.rank() == 0) {
    check_out(options.out);
    if (const std::string warning = warning_of_ranks(facts); !warning.empty()) say("millrace: warning: {}", warning);
    try {
      measure_and_tell(ranks, facts, how, options);
    } catch (const Interrupted&) {
      if (joined != nullptr) end_all_ranks(kInterrupted);  // The others measure on.
      throw;
    }
    return;
  }
  leave_ending_to_another();
  measure_cluster(ranks, facts, how);
  std::string text;
  while (take_order(ranks, text).kind != OrderKind::end) continue;
}

void check_use(const PlanClusterOptions& options) {
  if (options.measure) {
    if (!options.run.run.empty() || !options.cluster.empty() || options.ranks != 0)
      throw ConfigError("--measure measures the machines that it runs on: no RUN, --ranks or --cluster goes with it");
    return;
  }
  if (!options.out.empty()) throw ConfigError("--out says where --measure writes the cluster: there is no --measure");
  if (options.run.run.empty())
    throw ConfigError("RUN is required: a run file, or the folder of a run; or --measure, without one");
  if (options.ranks == 0) throw ConfigError("--ranks is required: how many processes, or cards");
  if (options.cluster.empty())
    throw ConfigError(fmt::format("--cluster is required: a TOML file, which --measure makes, or one of {}",
                                  fmt::join(cluster_preset_names(), ", ")));
}

void plan(const PlanClusterOptions& options) {
  check_use(options);
  if (options.measure) {
    measure(options);
    return;
  }
  const RunConfig run = read_run(options.run);
  const Cluster cluster = read_cluster(options.cluster);
  const MemoryQuestion memory =
      memory_question(run, corpora_of(trained_stream(run), FindShards::no), run.vocabulary, cluster.threads);
  const ClusterQuestion question{
      .run = memory, .cluster = cluster, .ranks = options.ranks, .positions = positions_of(run)};
  const std::optional<GridWish> wish =
      options.grid.empty() ? std::nullopt : std::optional(parse_grid(options.grid, "--grid"));
  const std::vector<GridPlan> plans = plan_cluster(question, wish);
  const ClusterView view{run.file.stem().string(), question, plans, static_cast<std::size_t>(options.best)};
  print_results(options.json ? view.json() : view.text());
}

}  // namespace

void add_plan_cluster(CLI::App& app) {
  const auto options = std::make_shared<PlanClusterOptions>();
  const Command command(app, "plan-cluster",
                        "Show how ranks could share a run: memory, time and bytes of each grid, the fastest first");
  add_run_options(command, options->run);
  command.get_option("run").required(false);
  command.add_option("--ranks", options->ranks, "Processes, or cards").whole_number_from(1, kMostRanks);
  command.add_option("--cluster", options->cluster,
                     fmt::format("Its machines: a TOML file, or one of {}", fmt::join(cluster_preset_names(), ", ")));
  command.add_option("--grid", options->grid, "Only this one: data=8,expert=8,pipeline=1; data may be left out");
  command.add_option("--best", options->best, "So many of the grids that fit; 0: all").whole_number_from(0, kMostRanks);
  command.add_flag("--json", options->json, "Print one JSON object");
  command.add_flag("--measure", options->measure,
                   "Measure the machines that mpirun started this on, in some ten seconds, instead of planning");
  command.add_option("--out", options->out, "With --measure: the file to write, for --cluster");
  command.add_threads_option(options->threads, "With --measure: threads of each rank",
                             "the cores of a machine, divided by its ranks");
  command
      .add_option("--precision", options->precision,
                  "With --measure: of products; auto: bf16 where the processor has it")
      .one_of({"f32", "bf16", "auto"});
  command.footer(
      "Example:\n"
      "  mpirun -n 8 --bind-to none millrace plan-cluster --measure --out cluster.toml\n"
      "  millrace plan-cluster mixes/runs/openmoe-8b-as-trained.toml --ranks 64 --cluster h100-8x400g\n"
      "  millrace plan-cluster run.toml --ranks 8 --cluster cluster.toml --grid data=8 --json");
  command.callback([options] { plan(*options); });
}

}  // namespace millrace
