#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/cluster_view.h"
#include "pipeline/corpora/corpus_set.h"
#include "stages/errors.h"
#include "trainer/config/run_config.h"
#include "trainer/plan/cluster.h"
#include "trainer/plan/cluster_plan.h"
#include "trainer/run/run_memory.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostRanks = 1 << 16;

struct PlanClusterOptions {
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

void plan(const PlanClusterOptions& options) {
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
  command.add_option("--ranks", options->ranks, "Processes, or cards").required().whole_number_from(1, kMostRanks);
  command
      .add_option("--cluster", options->cluster,
                  fmt::format("Its machines: a TOML file, or one of {}", fmt::join(cluster_preset_names(), ", ")))
      .required();
  command.add_option("--grid", options->grid, "Only this one: data=8,expert=8,pipeline=1; data may be left out");
  command.add_option("--best", options->best, "So many of the grids that fit; 0: all").whole_number_from(0, kMostRanks);
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer(
      "Example:\n"
      "  millrace plan-cluster mixes/runs/openmoe-8b-as-trained.toml --ranks 64 --cluster h100-8x400g\n"
      "  millrace plan-cluster run.toml --ranks 8 --cluster cluster.toml --grid data=8 --json");
  command.callback([options] { plan(*options); });
}

}  // namespace millrace
