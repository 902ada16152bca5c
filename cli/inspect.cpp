#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/open_vocabulary.h"
#include "cli/progress.h"
#include "cli/recorded_run.h"
#include "pipeline/data_pipeline.h"
#include "stages/document_to_tokens.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  RunOptions run;
  std::uint64_t examples = 4;
  std::uint64_t from = 0;
  std::optional<std::uint64_t> row;
  int threads = 0;
  bool json = false;
};

/// Terminal colours, or nothing where stdout is none.
struct Style {
  const char* heading = "";
  const char* sentinel = "";
  const char* target = "";
  const char* plain = "";
};

Style style_of_stdout() {
  if (isatty(STDOUT_FILENO) != 1) return {};
  return {"\033[1m", "\033[1;33m", "\033[4m", "\033[0m"};
}

/// Labels of a row that are text: inputs (weight 0) or targets (weight 1), padding left out.
std::vector<TokenId> part_of(const Row& row, bool targets) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < row.labels.size(); ++i)
    if (row.segment_ids[i] != 0 && (row.loss_weights[i] != 0) == targets) ids.push_back(row.labels[i]);
  return ids;
}

/// Decoded text with each sentinel in its own colour.
std::string shown(const std::vector<TokenId>& ids, const Vocabulary& vocabulary, const Style& style, const char* base) {
  std::string out = base;
  std::vector<TokenId> text;
  const auto flush = [&] {
    out += vocabulary.decode(text);
    text.clear();
  };
  for (const TokenId id : ids) {
    if (id < vocabulary.pieces() && id != vocabulary.eos()) {
      text.push_back(id);
      continue;
    }
    flush();
    out += fmt::format("{}{}{}{}", style.sentinel, vocabulary.piece(id), style.plain, base);
  }
  flush();
  return out + style.plain;
}

/// A stretch of a row's positions and what stands there, by its labels.
struct Span {
  const char* kind;  ///< prompt, text (shown to the model), noise, target (to be said), sentinel, eos, pad.
  std::size_t from, to;
  std::optional<TokenId> sentinel;  ///< Of noise and of its place in the text.
};

/// The row's example, stretch by stretch. A noise span begins with its sentinel.
std::vector<Span> spans_of(const Row& row, const Denoiser& denoiser, const Vocabulary& vocabulary) {
  std::vector<Span> spans;
  const auto add = [&spans](const char* kind, std::size_t at, std::optional<TokenId> sentinel = std::nullopt) {
    if (!spans.empty() && spans.back().kind == kind && spans.back().sentinel == sentinel) {
      spans.back().to = at + 1;
    } else {
      spans.push_back({kind, at, at + 1, sentinel});
    }
  };
  static constexpr const char *kPrompt = "prompt", *kText = "text", *kNoise = "noise", *kTarget = "target",
                              *kSentinel = "sentinel", *kEos = "eos", *kPad = "pad";
  const std::size_t prompt = denoiser.prompt.empty() ? 0 : vocabulary.encode(denoiser.prompt).size();
  std::optional<TokenId> noise;
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    const TokenId label = row.labels[i];
    const bool is_target = row.loss_weights[i] != 0;
    const bool is_sentinel = label >= vocabulary.pieces();
    if (row.segment_ids[i] == 0) {
      add(kPad, i);
    } else if (i < prompt) {
      add(kPrompt, i);
    } else if (label == vocabulary.eos() && (i + 1 == row.labels.size() || row.segment_ids[i + 1] == 0 ||
                                             (row.loss_weights[i + 1] != 0) != is_target)) {
      add(kEos, i);
    } else if (!is_target) {
      add(is_sentinel ? kSentinel : kText, i, is_sentinel ? std::optional(label) : std::nullopt);
    } else {
      if (is_sentinel) noise = label;
      add(noise ? kNoise : kTarget, i, noise);
    }
  }
  return spans;
}

Json spans_json(const std::vector<Span>& spans) {
  Json json = Json::array();
  for (const Span& span : spans) {
    json.push_back({{"kind", span.kind}, {"from", span.from}, {"to", span.to}});
    if (span.sentinel) json.back()["sentinel"] = *span.sentinel;
  }
  return json;
}

Json row_json(const StreamRow& row, const DataPipeline& pipeline, const StreamConfig& config,
              const Vocabulary& vocabulary) {
  const Row& r = row.row;
  Json examples = Json::array();
  for (const ExampleOrigin& origin : row.examples) {
    Json documents = Json::array();
    for (const DocumentSpan& span : origin.documents)
      documents.push_back({{"shard", pipeline.shards(origin.corpus)[span.shard]},
                           {"record", span.record},
                           {"from", span.from},
                           {"to", span.to}});
    examples.push_back(
        {{"corpus", pipeline.corpora()[origin.corpus]},
         {"documents", documents},
         {"denoiser", config.phases[origin.phase].objective.denoisers[origin.denoiser].name},
         {"raw_tokens", row.raw_tokens},
         {"spans",
          spans_json(spans_of(r, config.phases[origin.phase].objective.denoisers[origin.denoiser], vocabulary))},
         {"inputs", part_of(r, false)},
         {"targets", part_of(r, true)}});
  }
  return {{"row", row.number},       {"examples", examples},           {"tokens", r.tokens},
          {"labels", r.labels},      {"loss_weights", r.loss_weights}, {"segment_ids", r.segment_ids},
          {"positions", r.positions}};
}

void print_row(const StreamRow& row, const DataPipeline& pipeline, const StreamConfig& config,
               const Vocabulary& vocabulary, const Style& style) {
  for (const ExampleOrigin& origin : row.examples) {
    fmt::print("{}row {}  example {}  {}  {}{}\n", style.heading, row.number, origin.example,
               pipeline.corpora()[origin.corpus], config.phases[origin.phase].objective.denoisers[origin.denoiser].name,
               style.plain);
    for (const DocumentSpan& span : origin.documents)
      fmt::print("  {}:{} tokens {} to {}\n", pipeline.shards(origin.corpus)[span.shard], span.record, span.from,
                 span.to);
    const std::vector<TokenId> inputs = part_of(row.row, false);
    const std::vector<TokenId> targets = part_of(row.row, true);
    const auto padding = std::ranges::count(row.row.segment_ids, 0);
    fmt::print("  {} raw tokens: {} inputs, {} targets, {} padding\n", origin.raw_tokens, inputs.size(), targets.size(),
               padding);
    std::string noise;
    for (const Span& span :
         spans_of(row.row, config.phases[origin.phase].objective.denoisers[origin.denoiser], vocabulary)) {
      if (span.sentinel && row.row.loss_weights[span.from] != 0) noise += fmt::format(" {}-{}", span.from, span.to - 1);
    }
    if (!noise.empty()) fmt::print("  noise spans, each behind its sentinel, at positions{}\n", noise);
    if (!inputs.empty())
      fmt::print("{}inputs{}\n{}\n", style.heading, style.plain, shown(inputs, vocabulary, style, ""));
    fmt::print("{}targets{}\n{}\n\n", style.heading, style.plain, shown(targets, vocabulary, style, style.target));
  }
}

void inspect(const InspectOptions& options) {
  const RecordedRun recorded = open_recorded(options.run);
  const RunFile& run = recorded.run;
  const std::uint64_t rows = recorded.rows();
  if (options.row.value_or(options.from) >= rows)
    throw ConfigError(fmt::format("{}: the stream has {} rows: there is no row {}", run.file.string(), rows,
                                  options.row.value_or(options.from)));
  const Vocabulary vocabulary = open_vocabulary(run.vocabulary);
  DataPipeline::Options pipeline_options;
  pipeline_options.threads = options.threads;
  const std::uint64_t first = options.row.value_or(options.from);
  const std::optional<Position> start = recorded.position_before(first);
  const std::uint64_t start_row = start ? start->row : 0;
  DataPipeline pipeline(run.stream, vocabulary, start, pipeline_options);
  const std::uint64_t end = options.row ? first + 1 : first + options.examples;
  const Style style = style_of_stdout();
  if (first > start_row)
    fmt::print(stderr, "{}making rows {} to {} again\n", recorded.has_run ? "" : "this run never ran: ", start_row,
               first);
  if (recorded.rows_trained && end > *recorded.rows_trained)
    fmt::print(stderr, "the run has been trained on {} rows so far; those behind are still to come\n",
               *recorded.rows_trained);
  Progress progress("replay", first - start_row, "rows");
  std::uint64_t shown_rows = 0;
  while (auto batch = pipeline.next()) {
    const StreamRow& row = batch->front();
    if (interrupt_requested()) throw Interrupted();
    if (row.number < first) {
      progress.update(row.number + 1 - start_row);
      continue;
    }
    progress.finish();
    if (row.number >= end) break;
    ++shown_rows;
    if (options.json) {
      fmt::print("{}\n", row_json(row, pipeline, run.stream, vocabulary).dump());
    } else {
      print_row(row, pipeline, run.stream, vocabulary, style);
    }
  }
  if (shown_rows == 0) throw ConfigError(fmt::format("the stream ends before row {}", first));
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "Show examples of a run's stream as the model will see them");
  add_run_options(*command, options->run);
  command->add_option("--examples", options->examples, "How many")->check(CLI::PositiveNumber);
  command->add_option("--from", options->from, "Number of the first one");
  command->add_option("--row", options->row, "Only this row");
  command->add_option("--threads", options->threads, "Threads of the pipeline; 0: all cores");
  command->add_flag("--json", options->json, "One JSON object a row");
  command->footer("Example: millrace inspect mixes/runs/quickstart.toml --data /data --examples 2");
  command->callback([options] { inspect(*options); });
}

}  // namespace millrace
