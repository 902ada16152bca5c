#include "cli/views/cluster_view.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "cli/views/memory_view.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

std::string seconds_text(double seconds) {
  return seconds == 0 ? "-" : fmt::format("{:.3g}", seconds);
}

/// "8 x 8 x 1"
std::string grid_text(const ProcessGrid& grid) {
  return fmt::format("{} x {} x {}", grid.data, grid.expert, grid.pipeline);
}

/// Of those that fit, so many as are to be shown.
std::vector<const GridPlan*> shown_plans(const ClusterView& view) {
  std::vector<const GridPlan*> shown;
  for (const GridPlan& plan : view.plans)
    if (plan.fits() && (view.best == 0 || shown.size() < view.best)) shown.push_back(&plan);
  return shown;
}

std::string grids_table(const std::vector<const GridPlan*>& plans) {
  std::vector<TextTable::Column> columns{
      {"data x expert x pipeline", Align::left}, {"memory a rank"}, {"s a step"}, {"compute"}, {"bubble"}};
  for (const ExchangePlan& exchange : plans.front()->exchanges) columns.push_back({exchange.name});
  for (const char* title : {"update", "positions/s", "days"}) columns.push_back({title});
  columns.push_back({"runs", Align::left});
  columns.push_back({"with --set", Align::left});
  TextTable table(columns);
  for (const GridPlan* plan : plans) {
    std::vector<std::string> cells{grid_text(plan->grid), human_bytes(static_cast<double>(plan->memory().needed())),
                                   seconds_text(plan->step), seconds_text(plan->compute), seconds_text(plan->bubble)};
    for (const ExchangePlan& exchange : plan->exchanges) cells.push_back(seconds_text(exchange.seconds));
    cells.push_back(seconds_text(plan->update));
    cells.push_back(human_count(plan->positions_per_second));
    cells.push_back(fmt::format("{:.3g}", plan->days));
    cells.emplace_back(plan->not_built.empty() ? "yes" : "not yet");
    cells.push_back(fmt::format("{}", fmt::join(plan->settings, " ")));
    table.add(cells);
  }
  return table.text();
}

std::string exchanges_table(const GridPlan& plan) {
  TextTable table({{"exchange", Align::left}, {"inside machines"}, {"between them"}, {"seconds"}});
  for (const ExchangePlan& exchange : plan.exchanges)
    if (exchange.bytes() > 0)
      table.add(
          {exchange.name, human_bytes(exchange.inside), human_bytes(exchange.between), seconds_text(exchange.seconds)});
  return table.text();
}

std::string details(const GridPlan& plan) {
  std::string text = fmt::format("\n{}: the memory of the rank that takes most\n{}", plan.grid.text(),
                                 memory_parts_table(plan.memory().plan));
  if (plan.grid.ranks() > 1) text += fmt::format("\nbytes of a step, of all ranks together\n{}", exchanges_table(plan));
  if (!plan.not_built.empty()) text += fmt::format("\nmillrace cannot run it yet: {}\n", plan.not_built);
  return text;
}

std::string excluded_lines(const std::vector<GridPlan>& plans) {
  std::string lines;
  for (const GridPlan& plan : plans)
    if (!plan.fits()) lines += fmt::format("{}  {}\n", grid_text(plan.grid), plan.excluded);
  return lines.empty() ? lines : "\nexcluded\n" + lines;
}

Json plan_json(const GridPlan& plan) {
  Json json{{"grid",
             {{"data", plan.grid.data},
              {"expert", plan.grid.expert},
              {"tensor", plan.grid.tensor},
              {"pipeline", plan.grid.pipeline}}},
            {"excluded", plan.excluded.empty() ? Json() : Json(plan.excluded)},
            {"not_built", plan.not_built.empty() ? Json() : Json(plan.not_built)},
            {"set", plan.settings}};
  if (plan.step == 0) return json;
  json["memory"] = memory_parts_json(plan.memory().plan);
  json["memory"]["needed"] = plan.memory().needed();
  json["memory_of_ranks"] = Json::array();
  for (const RankMemory& one : plan.memories) {
    json["memory_of_ranks"].push_back({{"rank", one.rank}, {"needed", one.needed()}});
    json["memory_of_ranks"].back().update(memory_parts_json(one.plan));
  }
  for (const ExchangePlan& exchange : plan.exchanges)
    json["bytes"][exchange.name] = {{"inside", exchange.inside}, {"between", exchange.between}};
  Json seconds{{"step", plan.step}, {"compute", plan.compute}, {"bubble", plan.bubble}, {"update", plan.update}};
  for (const ExchangePlan& exchange : plan.exchanges) seconds[exchange.name] = exchange.seconds;
  json["seconds"] = seconds;
  json["positions_per_second"] = plan.positions_per_second;
  json["days"] = plan.days;
  return json;
}

}  // namespace

std::string ClusterView::text() const {
  const Cluster& cluster = question.cluster;
  const TrainConfig& train = question.run.train;
  const int micro_rows = train.micro_rows == 0 ? train.batch_rows : train.micro_rows;
  std::string text = fmt::format(
      "{}: {} positions in steps of {} rows of {}, {} micro-batches of {}\n"
      "{} ranks, {} a machine, of {}: {} in {}, {:.3g} FLOP/s and {} each\n\n",
      run, human_count(question.positions), train.batch_rows, question.run.sequence_length,
      train.batch_rows / micro_rows, micro_rows, question.ranks, cluster.ranks_per_machine, cluster.name,
      cluster.device, cluster.precision, cluster.operations, human_bytes(cluster.memory));
  const std::vector<const GridPlan*> shown = shown_plans(*this);
  if (shown.empty())
    text += "no grid fits\n";
  else
    text += grids_table(shown) + details(*shown.front());
  return text + excluded_lines(plans);
}

std::string ClusterView::json() const {
  const Cluster& cluster = question.cluster;
  Json grids = Json::array();
  for (const GridPlan* plan : shown_plans(*this)) grids.push_back(plan_json(*plan));
  Json excluded = Json::array();
  for (const GridPlan& plan : plans)
    if (!plan.fits()) excluded.push_back(plan_json(plan));
  return json_page({{"run", run},
                    {"positions", question.positions},
                    {"ranks", question.ranks},
                    {"cluster",
                     {{"name", cluster.name},
                      {"ranks_per_machine", cluster.ranks_per_machine},
                      {"device", cluster.device},
                      {"precision", cluster.precision},
                      {"memory", cluster.memory},
                      {"operations", cluster.operations}}},
                    {"grids", std::move(grids)},
                    {"excluded", std::move(excluded)}});
}

std::string MeasuredClusterView::text() const {
  std::string text = fmt::format("# Measured by millrace {}: {}.\n", MILLRACE_VERSION, ranks);
  for (const std::string& line : found.not_measured) text += fmt::format("# Not measured: {}.\n", line);
  return text + cluster_toml(found.cluster);
}

std::string MeasuredClusterView::json() const {
  const Cluster& cluster = found.cluster;
  const auto link_json = [](const Link& link) {
    return link.is_known() ? Json{{"latency", link.latency}, {"bandwidth", link.bandwidth}} : Json();
  };
  return json_page({{"ranks", ranks},
                    {"cluster",
                     {{"ranks_per_machine", cluster.ranks_per_machine},
                      {"device", cluster.device},
                      {"precision", cluster.precision},
                      {"threads", cluster.threads},
                      {"memory", cluster.memory},
                      {"operations", cluster.operations},
                      {"memory_bandwidth", cluster.memory_bandwidth},
                      {"copy_bandwidth", cluster.copy_bandwidth},
                      {"fresh_bandwidth", cluster.fresh_bandwidth},
                      {"inside", link_json(cluster.inside)},
                      {"between", link_json(cluster.between)}}},
                    {"not_measured", found.not_measured}});
}

}  // namespace millrace
