#include "trainer/plan/cluster_plan.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/cluster/stage_cut.h"
#include "trainer/ranked/rank_groups.h"

namespace millrace {
namespace {

constexpr double kSecondsOfADay = 24 * 3600;
constexpr double kBytesOfAnOwnedNumber = 20;  ///< Value read and written, gradient read twice, moments.
constexpr double kBytesOfANumber = 8;         ///< Its gradient added up, its value rounded.

int micro_batches(const TrainConfig& train) {
  return train.batch_rows / train.micro_rows;
}

/// The run's settings with what the grid needs, which is told.
TrainConfig settings_for(const ClusterQuestion& question, const ProcessGrid& grid, std::vector<std::string>& settings) {
  TrainConfig train = question.run.train;
  if (train.micro_rows == 0) train.micro_rows = train.batch_rows;
  train.device = question.cluster.device;
  train.precision = question.cluster.precision;
  if (train.lanes != 1 || train.expert_lanes != 1) return train;
  train.lanes = grid.data;
  train.expert_lanes = grid.expert;
  if (grid.data > 1) settings.push_back(fmt::format("train.lanes={}", grid.data));
  if (grid.expert > 1) settings.push_back(fmt::format("train.expert_lanes={}", grid.expert));
  return train;
}

/// Why the run's numbers do not allow the grid; empty: they do.
std::string fault_of(const ProcessGrid& grid, const ModelConfig& model, const TrainConfig& train) {
  for (const auto& [width, ranks] : {std::pair("data", grid.data), std::pair("expert", grid.expert)})
    if (!std::has_single_bit(static_cast<unsigned>(ranks)))
      return fmt::format("{} {} is no power of two: lanes are", width, ranks);
  if (micro_batches(train) % grid.replicas() != 0)
    return fmt::format("{} micro-batches of {} rows for {} replicas: train.micro_rows must be smaller",
                       micro_batches(train), train.micro_rows, grid.replicas());
  const GridWish wish{grid.data, grid.expert, grid.tensor, grid.pipeline};
  try {
    process_grid(wish, grid.ranks(), model, train);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

void plan_time(const ClusterQuestion& question, const TrainConfig& train, const std::vector<LayerRange>& stages,
               GridPlan& plan) {
  const Cluster& cluster = question.cluster;
  const ModelConfig& model = question.run.model;
  const std::vector<double> layers = layer_operations(model, question.run.sequence_length, 1);
  double dearest = 0;
  for (const LayerRange& stage : stages)
    dearest = std::max(dearest, std::accumulate(layers.begin() + stage.first, layers.begin() + stage.end, 0.0));
  const double positions = static_cast<double>(train.micro_rows) * question.run.sequence_length;
  const double of_micro_batch = positions * dearest / cluster.operations * (train.recompute ? 4.0 / 3 : 1);
  const int of_replica = micro_batches(train) / plan.grid.replicas();
  plan.compute = of_replica * of_micro_batch;

  plan.exchanges = plan_exchanges(cluster, plan.grid, model, train, question.run.sequence_length);
  double exchanges = 0;
  double between_layers = 0;  // Of one micro-batch.
  for (const ExchangePlan& exchange : plan.exchanges) {
    exchanges += exchange.seconds;
    if (exchange.is_of_micro_batches) between_layers += exchange.seconds / of_replica;
  }
  plan.bubble = (plan.grid.pipeline - 1) * (of_micro_batch + between_layers);

  std::vector<double> bytes(static_cast<std::size_t>(plan.grid.ranks()));
  for (const RankGroup& group : rank_groups(plan.grid, model, stages)) {
    double all = 0;
    for (const ParameterSpec& spec : group.specs) all += static_cast<double>(spec.size());
    for (const int rank : group.ranks)
      bytes[static_cast<std::size_t>(rank)] +=
          kBytesOfAnOwnedNumber * all / static_cast<double>(group.ranks.size()) + kBytesOfANumber * all;
  }
  plan.update = std::ranges::max(bytes) / cluster.memory_bandwidth;
  plan.step = plan.compute + plan.bubble + exchanges + plan.update;
  plan.positions_per_second = static_cast<double>(train.batch_rows) * question.run.sequence_length / plan.step;
  plan.days = question.positions / plan.positions_per_second / kSecondsOfADay;
}

void plan_rank_memory(const ClusterQuestion& question, const TrainConfig& train, GridPlan& plan) {
  const MemoryQuestion& run = question.run;
  plan.memories = memory_of_ranks({.model = run.model,
                                   .train = train,
                                   .sequence_length = run.sequence_length,
                                   .corpora = run.corpora,
                                   .threads = run.threads,
                                   .pipeline = run.pipeline,
                                   .vocabulary = run.vocabulary},
                                  plan.grid);
}

/// Throws ConfigError where ranks would meet over a link that the cluster does not tell.
void check_links(const ClusterQuestion& question) {
  const Cluster& cluster = question.cluster;
  const auto check = [&](const Link& link, bool is_needed, const char* name, const char* where) {
    if (is_needed && !link.is_known())
      throw ConfigError(fmt::format(
          "{}: no [{}], the link {}, which {} ranks with {} a machine need; measure it with ranks there (mpirun -n N "
          "millrace plan-cluster --measure), or write it",
          cluster.name, name, where, question.ranks, cluster.ranks_per_machine));
  };
  check(cluster.inside, std::min(question.ranks, cluster.ranks_per_machine) > 1, "inside", "of a machine's ranks");
  check(cluster.between, question.ranks > cluster.ranks_per_machine, "between", "of machines");
}

}  // namespace

GridPlan plan_grid(const ClusterQuestion& question, const ProcessGrid& grid) {
  GridPlan plan;
  plan.grid = grid;
  TrainConfig train = settings_for(question, grid, plan.settings);
  plan.not_built = fault_of_grid(grid);
  if (plan.not_built.empty() && train.device == "cuda" && grid.ranks() > 1)
    plan.not_built = "several ranks with cards were never tried";
  plan.excluded = fault_of(grid, question.run.model, train);
  if (!plan.fits()) return plan;
  const std::vector<LayerRange> stages =
      cut_layers(layer_operations(question.run.model, question.run.sequence_length, 1), grid.pipeline);
  const auto memory = static_cast<std::uint64_t>(question.cluster.memory);
  plan_rank_memory(question, train, plan);
  if (plan.memory().needed() > memory && !train.recompute) {
    train.recompute = true;
    plan.settings.emplace_back("train.recompute=true");
    plan_rank_memory(question, train, plan);
  }
  if (plan.memory().needed() > memory)
    plan.excluded = fmt::format("a rank takes {:.1f} GB, with layers recomputed; it has {:.1f} GB",
                                static_cast<double>(plan.memory().needed()) / 1e9, question.cluster.memory / 1e9);
  plan_time(question, train, stages, plan);
  return plan;
}

std::vector<GridPlan> plan_cluster(const ClusterQuestion& question, const std::optional<GridWish>& wish) {
  if (wish && wish->tensor > 1)
    throw ConfigError("--grid: tensor parallelism is neither built nor planned yet; tensor=1");
  check_links(question);
  std::vector<GridPlan> plans;
  const auto wanted = [&](int asked, int is) { return !wish || asked == 0 || asked == is; };
  for (int expert = 1; expert <= question.ranks; ++expert) {
    if (question.ranks % expert != 0 || !wanted(wish ? wish->expert : 0, expert)) continue;
    for (int pipeline = 1; pipeline <= question.ranks / expert; ++pipeline) {
      if (question.ranks / expert % pipeline != 0 || !wanted(wish ? wish->pipeline : 0, pipeline)) continue;
      const int data = question.ranks / expert / pipeline;
      if (!wanted(wish ? wish->data : 0, data)) continue;
      plans.push_back(plan_grid(question, {.data = data, .expert = expert, .tensor = 1, .pipeline = pipeline}));
    }
  }
  if (plans.empty())
    throw ConfigError(fmt::format("--grid: expert {} x pipeline {}{} is no grid of {} ranks", wish->expert,
                                  wish->pipeline, wish->data > 0 ? fmt::format(" x data {}", wish->data) : "",
                                  question.ranks));
  std::ranges::stable_sort(plans, {}, [](const GridPlan& plan) {
    return std::tuple(!plan.fits(), plan.step, plan.grid.pipeline, plan.grid.expert);
  });
  return plans;
}

}  // namespace millrace
