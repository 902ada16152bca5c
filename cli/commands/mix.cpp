#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/option_checks.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/console/text_table.h"
#include "cli/views/index_hint.h"
#include "cli/views/memory_view.h"
#include "pipeline/config/config_table.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/data_manifest.h"
#include "pipeline/plan/available_tokens.h"
#include "pipeline/plan/mix_plan.h"
#include "trainer/config/run_config.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/run_memory.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMostTokens = 9'000'000'000'000'000'000;

struct MixOptions {
  RunOptions run;  ///< Its `run` may also name a mix.
  std::string vocabulary;
  std::uint64_t tokens = 0;
  bool json = false;
};

/// What the command was given: a run's phases, or one mix as a single phase without an objective.
struct Question {
  StreamConfig stream;
  std::optional<RunFile> run;  ///< Whose memory is planned.
  double horizon = 0;          ///< Positions; 0: a mix alone, of which only shares are asked.
  fs::path vocabulary;
  bool has_objectives() const { return !stream.phases.front().objective.name.empty(); }
  bool has_data() const { return !stream.data_directory.empty(); }
};

/// Everything that is shown.
struct Answer {
  std::vector<RunCorpus> corpora;
  std::vector<std::uint64_t> bytes;  ///< Per corpus; empty without data.
  std::optional<fs::path> manifest;
  PlanInputs inputs;
  MixPlan plan;
  std::optional<MemoryPlan> memory;  ///< Of training; with a vocabulary.
  MachineMemory machine;
  std::string memory_advice;

  const AvailableTokens* available(std::size_t corpus) const {
    return inputs.available.empty() ? nullptr : &inputs.available[corpus];
  }
};

Question read_question(const MixOptions& options) {
  Question question;
  const fs::path file = options.run.run;
  const bool is_mix = fs::is_regular_file(file) && !ConfigTable::read(file).has("phase");
  if (is_mix) {
    Phase phase;
    phase.mix = load_mix(file);
    phase.until = options.tokens;
    if (!options.run.data.empty())
      question.stream.data_directory = fs::absolute(options.run.data).lexically_normal().string();
    question.stream.phases.push_back(std::move(phase));
    question.horizon = static_cast<double>(options.tokens);
  } else {
    RunFile run = load_run(options.run);
    question.stream = run.stream;
    question.horizon = static_cast<double>(options.tokens > 0 ? options.tokens : run.train.tokens);
    question.vocabulary = run.vocabulary;
    question.run = std::move(run);
  }
  if (!options.vocabulary.empty()) {
    question.vocabulary = options.vocabulary;
    (void)open_vocabulary(question.vocabulary);  // One that was asked for must be there; a run's own need not be yet.
  }
  return question;
}

void plan_training(const Question& question, Answer& answer) {
  if (!question.run) return;
  RunFile run = *question.run;
  if (run.model.vocab_size == 0 && fs::exists(question.vocabulary))
    run.model.vocab_size = open_vocabulary(question.vocabulary).embedding_rows();
  if (run.model.vocab_size == 0) return;
  check_model_config(run.model, run.file.string() + ": [model]");
  const MemoryQuestion memory = memory_question(run, question.vocabulary, compute_threads());
  answer.memory = plan_memory(memory);
  answer.machine = machine_memory();
  answer.memory_advice = memory_advice(memory, answer.machine);
}

Answer answer(const Question& question) {
  Answer answer;
  plan_training(question, answer);
  answer.corpora = corpora_of(question.stream, question.has_data() ? FindShards::yes : FindShards::no);
  if (question.has_data()) {
    for (const RunCorpus& corpus : answer.corpora) {
      std::uint64_t& bytes = answer.bytes.emplace_back(0);
      for (const std::string& shard : corpus.shards) bytes += fs::file_size(shard_path(question.stream, shard));
    }
    if (fs::exists(question.vocabulary)) {
      const Vocabulary vocabulary = open_vocabulary(question.vocabulary);
      const std::optional<Manifest> manifest = manifest_of(question.stream.data_directory);
      if (manifest) answer.manifest = fs::path(question.stream.data_directory) / kManifestName;
      answer.inputs.available =
          available_tokens(question.stream, answer.corpora, vocabulary, manifest ? &*manifest : nullptr);
      if (question.has_objectives()) answer.inputs.phases = plan_phases(question.stream, answer.corpora, vocabulary);
    }
  }
  answer.plan = plan_mix(question.stream, answer.corpora, question.horizon > 0 ? question.horizon : 1, answer.inputs);
  return answer;
}

const char* name_of(CorpusKind kind) {
  return kind == CorpusKind::code ? "code" : "text";
}

double share_of(const Answer& answer, std::size_t corpus) {
  return answer.plan.positions > 0 ? answer.plan.corpora[corpus].positions / answer.plan.positions : 0;
}

Json or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

/// How often a phase goes through a corpus.
std::optional<double> phase_epochs(const Answer& answer, const PhaseTake& taken, std::size_t corpus) {
  const AvailableTokens* available = answer.available(corpus);
  if (available == nullptr || available->tokens <= 0 || !taken.raw_tokens[corpus]) return std::nullopt;
  return *taken.raw_tokens[corpus] / available->tokens;
}

std::string as_json(const Question& question, const Answer& answer) {
  Json phases = Json::array();
  for (std::size_t p = 0; p < answer.plan.phases.size(); ++p) {
    const Phase& phase = question.stream.phases[p];
    const PhaseTake& taken = answer.plan.phases[p];
    Json corpora = Json::array();
    for (std::size_t i = 0; question.horizon > 0 && i < answer.corpora.size(); ++i) {
      if (taken.positions[i] == 0) continue;
      corpora.push_back({{"name", answer.corpora[i].corpus.name},
                         {"share", taken.positions[i] / (taken.to - taken.from)},
                         {"tokens", taken.positions[i]},
                         {"raw_tokens", or_null(taken.raw_tokens[i])},
                         {"epochs", or_null(phase_epochs(answer, taken, i))}});
    }
    const std::string& objective = phase.objective.name;
    const bool to_horizon = question.horizon > 0;
    phases.push_back({{"from_tokens", to_horizon ? static_cast<std::uint64_t>(taken.from) : 0},
                      {"to_tokens", to_horizon ? static_cast<std::uint64_t>(std::llround(taken.to)) : 0},
                      {"mix", phase.mix.name},
                      {"objective", objective.empty() ? Json() : Json(objective)},
                      {"corpora", corpora}});
  }
  Json corpora = Json::array();
  Json by_kind{{"text", 0.0}, {"code", 0.0}};
  for (std::size_t i = 0; i < answer.corpora.size(); ++i) {
    const RunCorpus& corpus = answer.corpora[i];
    const CorpusPlan& planned = answer.plan.corpora[i];
    const AvailableTokens* available = answer.available(i);
    Json& kind = by_kind[name_of(corpus.corpus.kind)];
    kind = kind.get<double>() + (question.horizon > 0 ? planned.positions : share_of(answer, i));
    corpora.push_back({{"name", corpus.corpus.name},
                       {"kind", name_of(corpus.corpus.kind)},
                       {"share", share_of(answer, i)},
                       {"shards", question.has_data() ? Json(corpus.shards.size()) : Json()},
                       {"bytes", question.has_data() ? Json(answer.bytes[i]) : Json()},
                       {"passed_over", question.has_data() ? Json(corpus.passed_over) : Json()},
                       {"layouts", available != nullptr ? Json(available->layouts) : Json()},
                       {"tokens", question.horizon > 0 ? Json(planned.positions) : Json()},
                       {"raw_tokens", question.horizon > 0 ? or_null(planned.raw_tokens) : Json()},
                       {"available_tokens", available != nullptr ? Json(available->tokens) : Json()},
                       {"available_error", available != nullptr ? Json(available->error) : Json()},
                       {"from_manifest", available != nullptr ? Json(available->from_manifest) : Json()},
                       {"epochs", question.horizon > 0 ? or_null(planned.epochs) : Json()},
                       {"exhausted_at", question.horizon > 0 ? or_null(planned.exhausted_at) : Json()}});
  }
  const Json all{{"total_tokens", static_cast<std::uint64_t>(question.horizon)},
                 {"ends_at", question.horizon > 0 ? Json(answer.plan.positions) : Json()},
                 {"phases", phases},
                 {"corpora", corpora},
                 {"by_kind", by_kind},
                 {"memory", answer.memory ? memory_json(*answer.memory, answer.machine) : Json()}};
  return all.dump(2) + "\n";
}

std::string available_cell(const AvailableTokens& available) {
  const std::string tokens = human_count(available.tokens);
  if (available.error == 0) return tokens;
  return fmt::format("{} ±{:.{}f} %", tokens, 100 * available.error, available.error < 0.1 ? 1 : 0);
}

/// One row a corpus; columns of which nothing is known are left out.
std::string corpus_table(const Question& question, const Answer& answer) {
  using Align = TextTable::Align;
  const bool counted = !answer.inputs.available.empty();
  const bool eaten = !answer.inputs.phases.empty();
  std::vector<TextTable::Column> columns{{"corpus", Align::left}, {"kind", Align::left}, {"share"}};
  if (question.horizon > 0) columns.push_back({"tokens"});
  if (question.has_data()) columns.insert(columns.end(), {{"shards"}, {"bytes"}});
  if (counted) columns.insert(columns.end(), {{"layout", Align::left}, {"available"}});
  if (eaten) columns.insert(columns.end(), {{"raw tokens"}, {"epochs"}, {"seen once, or closed, at"}});
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < answer.corpora.size(); ++i) {
    const RunCorpus& corpus = answer.corpora[i];
    const CorpusPlan& planned = answer.plan.corpora[i];
    std::vector<std::string> cells{corpus.corpus.name, name_of(corpus.corpus.kind),
                                   fmt::format("{:.4g} %", 100 * share_of(answer, i))};
    if (question.horizon > 0) cells.push_back(human_count(planned.positions));
    if (question.has_data()) {
      cells.push_back(fmt::format("{}", corpus.shards.size()));
      cells.push_back(human_bytes(static_cast<double>(answer.bytes[i])));
    }
    if (counted) {
      cells.push_back(fmt::format("{}", fmt::join(answer.available(i)->layouts, ", ")));
      cells.push_back(available_cell(*answer.available(i)));
    }
    if (eaten) {
      cells.push_back(human_count(planned.raw_tokens.value_or(0)));
      cells.push_back(planned.epochs ? fmt::format("{:.3g}", *planned.epochs) : "-");
      cells.push_back(planned.exhausted_at ? human_count(*planned.exhausted_at) : "-");
    }
    table.add(std::move(cells));
  }
  return table.text();
}

/// Share, positions and, where known, epochs of each corpus in each phase.
std::string phase_table(const Answer& answer) {
  using Align = TextTable::Align;
  const bool epochs = !answer.inputs.phases.empty();
  std::vector<TextTable::Column> columns{{"in phase", Align::left}};
  for (std::size_t p = 1; p <= answer.plan.phases.size(); ++p) {
    columns.insert(columns.end(), {{fmt::format("{}: share", p)}, {"tokens"}});
    if (epochs) columns.push_back({"epochs"});
  }
  TextTable table(std::move(columns));
  for (std::size_t i = 0; i < answer.corpora.size(); ++i) {
    std::vector<std::string> cells{answer.corpora[i].corpus.name};
    for (const PhaseTake& taken : answer.plan.phases) {
      const bool eaten = taken.positions[i] > 0;
      cells.push_back(eaten ? fmt::format("{:.4g} %", 100 * taken.positions[i] / (taken.to - taken.from)) : "-");
      cells.push_back(eaten ? human_count(taken.positions[i]) : "-");
      const std::optional<double> rounds = phase_epochs(answer, taken, i);
      if (epochs) cells.push_back(eaten && rounds ? fmt::format("{:.3g}", *rounds) : "-");
    }
    table.add(std::move(cells));
  }
  return table.text();
}

/// Where the figures come from, and what would make them better.
std::string provenance(const Question& question, const Answer& answer) {
  if (!question.has_data()) return "no --data folder given: shards were not looked for\n";
  if (answer.inputs.available.empty()) {
    return question.vocabulary.empty() ? "available tokens: not counted; name a vocabulary with --vocab\n"
                                       : fmt::format("available tokens: not counted; there is no vocabulary {}\n",
                                                     question.vocabulary.string());
  }
  const auto from_manifest = std::ranges::count_if(answer.inputs.available, &AvailableTokens::from_manifest);
  const bool all = static_cast<std::size_t>(from_manifest) == answer.corpora.size();
  if (all) return fmt::format("available tokens: counted by {}\n", answer.manifest->string());
  std::string text = "available tokens: estimated from a sample (± half the 95 % interval; without ±: all was read)";
  if (answer.manifest)
    text += fmt::format("; {} of {} corpora by {}, which has no current count of the others", from_manifest,
                        answer.corpora.size(), answer.manifest->string());
  return text + "\n" + index_hint(question.stream, answer.corpora, answer.inputs.available, question.vocabulary);
}

std::string as_text(const Question& question, const Answer& answer) {
  std::string out;
  for (std::size_t p = 0; question.has_objectives() && p < answer.plan.phases.size(); ++p) {
    const Phase& phase = question.stream.phases[p];
    const PhaseTake& taken = answer.plan.phases[p];
    out += fmt::format("phase {}: {} to {} positions, mix {}, objective {}\n", p + 1, human_count(taken.from),
                       human_count(taken.to), phase.mix.name, phase.objective.name);
  }
  out += corpus_table(question, answer);
  if (answer.plan.phases.size() > 1) out += phase_table(answer);
  double code = 0;
  for (std::size_t i = 0; i < answer.corpora.size(); ++i) {
    if (answer.corpora[i].corpus.kind == CorpusKind::code) code += share_of(answer, i);
  }
  out += fmt::format("code {:.4g} %, text {:.4g} %\n", 100 * code, 100 * (1 - code));
  if (question.horizon > 0 && answer.plan.positions < question.horizon)
    out += fmt::format("the stream ends at {} positions: a corpus with at_end = \"stop\" is used up\n",
                       human_count(answer.plan.positions));
  for (const std::string& line : passed_over(answer.corpora)) out += line + "\n";
  out += provenance(question, answer);
  if (answer.memory) out += "\n" + memory_table(*answer.memory, answer.machine);
  if (!answer.memory_advice.empty()) out += fmt::format("this machine has too little: {}\n", answer.memory_advice);
  return out;
}

void add_plan_command(CLI::App& mix, const std::string& name, const std::string& description) {
  const auto options = std::make_shared<MixOptions>();
  CLI::App* command = mix.add_subcommand(name, description);
  add_run_options(*command, options->run);
  command->add_option("--tokens", options->tokens, "Horizon in positions (rows x sequence length)")
      ->transform(count_from(0, kMostTokens));
  command->add_option("--vocab", options->vocabulary,
                      "SentencePiece .model to count tokens with; default: the run's vocab");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      fmt::format("Example:\n  millrace mix {0} mixes/runs/openmoe-8b.toml --tokens 1.1e12\n"
                  "  millrace mix {0} mixes/runs/quickstart.toml --data data/sample",
                  name));
  command->callback([options] {
    const Question question = read_question(*options);
    const Answer answered = answer(question);
    print_results(options->json ? as_json(question, answered) : as_text(question, answered));
  });
}

}  // namespace

void add_mix(CLI::App& app) {
  CLI::App* mix = app.add_subcommand("mix", "Check, plan and compare mixes");
  mix->require_subcommand(1);
  add_plan_command(*mix, "check", "Check a mix or a run: its shares, and that every corpus has shards under --data");
  add_plan_command(*mix, "plan", "Show what a mix or a run takes from each corpus up to a horizon");
  add_mix_diff(*mix);
}

}  // namespace millrace
