#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/run_file.h"
#include "cli/text_table.h"
#include "pipeline/config_file.h"
#include "pipeline/corpus_set.h"
#include "pipeline/mix_file.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

struct MixOptions {
  RunOptions run;  ///< Its `run` may also name a mix.
  double tokens = 0;
  bool json = false;
};

/// What the command was given: a run's phases, or one mix as a single phase without an objective.
struct Plan {
  StreamConfig stream;
  std::uint64_t horizon = 0;  ///< Positions; 0: a mix alone, no horizon.
};

struct CorpusPlan {
  std::string name;
  CorpusKind kind = CorpusKind::text;
  double positions = 0;  ///< Share x positions up to the horizon.
  double share = 0;
  std::size_t shards = 0;
  std::uint64_t bytes = 0;
};

Plan load_plan(const MixOptions& options) {
  Plan plan;
  const std::filesystem::path file = options.run.run;
  const bool is_mix = std::filesystem::is_regular_file(file) && !ConfigTable::read(file).has("phase");
  if (is_mix) {
    Phase phase;
    phase.mix = load_mix(file);
    phase.until = static_cast<std::uint64_t>(options.tokens);
    if (!options.run.data.empty()) plan.stream.data_directory = std::filesystem::absolute(options.run.data).string();
    plan.stream.phases.push_back(std::move(phase));
    plan.horizon = static_cast<std::uint64_t>(options.tokens);
  } else {
    RunFile run = load_run(options.run);
    plan.stream = std::move(run.stream);
    plan.horizon = options.tokens > 0 ? static_cast<std::uint64_t>(options.tokens) : run.train.tokens;
  }
  return plan;
}

std::vector<CorpusPlan> plan_corpora(const Plan& plan) {
  const bool has_data = !plan.stream.data_directory.empty();
  const std::vector<RunCorpus> corpora = corpora_of(plan.stream, has_data ? FindShards::yes : FindShards::no);
  std::vector<CorpusPlan> rows;
  for (const RunCorpus& corpus : corpora) {
    CorpusPlan row{corpus.corpus.name, corpus.corpus.kind, 0, 0, corpus.shards.size(), 0};
    for (const std::string& shard : corpus.shards)
      row.bytes += std::filesystem::file_size(shard_path(plan.stream, shard));
    rows.push_back(std::move(row));
  }
  double total = 0;
  std::uint64_t from = 0;
  for (std::size_t p = 0; p < plan.stream.phases.size(); ++p) {
    const Phase& phase = plan.stream.phases[p];
    const bool last = p + 1 == plan.stream.phases.size();
    const std::uint64_t to = plan.horizon == 0 ? 1 : last ? plan.horizon : std::min(phase.until, plan.horizon);
    if (to <= from) break;
    const auto positions = static_cast<double>(to - from);
    const std::vector<std::size_t> indices = indices_in(corpora, phase.mix);
    for (std::size_t i = 0; i < indices.size(); ++i)
      rows[indices[i]].positions +=
          positions * static_cast<double>(phase.mix.corpora[i].share) / static_cast<double>(kShareUnits);
    total += positions;
    from = to;
  }
  for (CorpusPlan& row : rows) row.share = row.positions / total;
  return rows;
}

Json plan_json(const Plan& plan, const std::vector<CorpusPlan>& rows) {
  Json phases = Json::array();
  std::uint64_t from = 0;
  for (const Phase& phase : plan.stream.phases) {
    Json entry{{"from_tokens", from}, {"to_tokens", phase.until}, {"mix", phase.mix.name}, {"objective", nullptr}};
    if (!phase.objective.name.empty()) entry["objective"] = phase.objective.name;
    phases.push_back(std::move(entry));
    from = phase.until;
  }
  const bool has_data = !plan.stream.data_directory.empty();
  Json corpora = Json::array();
  Json by_kind{{"text", 0.0}, {"code", 0.0}};
  for (const CorpusPlan& row : rows) {
    const char* kind = row.kind == CorpusKind::code ? "code" : "text";
    by_kind[kind] = by_kind[kind].get<double>() + (plan.horizon > 0 ? row.positions : row.share);
    corpora.push_back({{"name", row.name},
                       {"kind", kind},
                       {"share", row.share},
                       {"shards", has_data ? Json(row.shards) : Json()},
                       {"bytes", has_data ? Json(row.bytes) : Json()},
                       {"tokens", plan.horizon > 0 ? Json(row.positions) : Json()},
                       {"raw_tokens", nullptr},
                       {"available_tokens", nullptr},
                       {"epochs", nullptr},
                       {"exhausted_at", nullptr}});
  }
  return {{"total_tokens", plan.horizon}, {"phases", phases}, {"corpora", corpora}, {"by_kind", by_kind}};
}

std::string plan_text(const Plan& plan, const std::vector<CorpusPlan>& rows) {
  const bool has_data = !plan.stream.data_directory.empty();
  std::string out;
  std::uint64_t from = 0;
  for (const Phase& phase : plan.stream.phases) {
    if (phase.objective.name.empty()) continue;
    out += fmt::format("phase  {} to {} positions: mix {}, objective {}\n", human_count(static_cast<double>(from)),
                       human_count(static_cast<double>(phase.until)), phase.mix.name, phase.objective.name);
    from = phase.until;
  }
  using Align = TextTable::Align;
  TextTable table({{"corpus", Align::left}, {"kind", Align::left}, {"share"}, {"tokens"}, {"shards"}, {"bytes"}});
  double code = 0;
  for (const CorpusPlan& row : rows) {
    if (row.kind == CorpusKind::code) code += row.share;
    table.add({row.name, row.kind == CorpusKind::code ? "code" : "text", fmt::format("{:.4g} %", 100 * row.share),
               plan.horizon > 0 ? human_count(row.positions) : "-", has_data ? fmt::format("{}", row.shards) : "-",
               has_data ? human_bytes(static_cast<double>(row.bytes)) : "-"});
  }
  out += table.text();
  out += fmt::format("code {:.4g} %, text {:.4g} %\n", 100 * code, 100 * (1 - code));
  if (!has_data) out += "no --data folder given: shards were not looked for\n";
  return out;
}

void add_plan_command(CLI::App& mix, const std::string& name, const std::string& description) {
  const auto options = std::make_shared<MixOptions>();
  CLI::App* command = mix.add_subcommand(name, description);
  add_run_options(*command, options->run);
  command->add_option("--tokens", options->tokens, "Horizon in positions (rows x sequence length)");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(fmt::format("Example: millrace mix {} mixes/openmoe-v1.toml --data /data --tokens 1e12", name));
  command->callback([options] {
    const Plan plan = load_plan(*options);
    const std::vector<CorpusPlan> rows = plan_corpora(plan);
    fmt::print("{}", options->json ? plan_json(plan, rows).dump(2) + "\n" : plan_text(plan, rows));
  });
}

}  // namespace

void add_mix(CLI::App& app) {
  CLI::App* mix = app.add_subcommand("mix", "Check and plan mixes");
  mix->require_subcommand(1);
  add_plan_command(*mix, "check", "Check a mix or a run: its shares, and that every corpus has shards under --data");
  add_plan_command(*mix, "plan", "Show what a mix or a run takes from each corpus up to a horizon");
}

}  // namespace millrace
