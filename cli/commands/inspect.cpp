#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/commands/inspect_rows.h"
#include "cli/commands/inspect_statistics.h"
#include "cli/commands/recorded_rows.h"
#include "cli/console/command.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/run_options.h"
#include "cli/views/row_view.h"
#include "stages/errors.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/run/recorded_run.h"

namespace millrace {
namespace {

struct InspectOptions {
  RunSource run;
  std::string vocabulary;
  std::optional<std::uint64_t> rows;
  std::uint64_t from = 0;
  std::optional<std::uint64_t> row;
  int threads = 0;
  bool statistics = false;
  MixingOptions mixing;
  bool json = false;
};

constexpr std::uint64_t kShownRows = 4;
constexpr std::uint64_t kCountedRows = 1000;

std::uint64_t rows_wanted(const InspectOptions& options) {
  return options.row ? 1 : options.rows.value_or(options.statistics ? kCountedRows : kShownRows);
}

void inspect_folder(const InspectOptions& options) {
  if (!options.run.sets.empty())
    throw ConfigError(fmt::format("{}: --set {}: these rows are stored and cannot change", options.run.run,
                                  options.run.sets.front()));
  inspect_rows({.folder = options.run.run,
                .vocabulary = options.vocabulary,
                .first = options.row.value_or(options.from),
                .rows = rows_wanted(options),
                .statistics = options.statistics,
                .mixing = options.mixing,
                .json = options.json});
}

void refuse_without_statistics(const InspectOptions& options) {
  const MixingOptions& mixing = options.mixing;
  if (options.statistics) return;
  for (const auto& [name, is_given] :
       {std::pair("--by", !mixing.by.empty()), std::pair("--batch-rows", mixing.batch_rows.has_value()),
        std::pair("--window-rows", mixing.window_rows.has_value())}) {
    if (is_given) throw ConfigError(fmt::format("{} says how --stats counts: add --stats", name));
  }
}

void inspect(const InspectOptions& options) {
  refuse_without_statistics(options);
  if (is_preprocessed(options.run.run)) return inspect_folder(options);
  if (!options.vocabulary.empty())
    throw ConfigError(fmt::format("--vocab is for a folder of rows; {} names its own, --set vocab=FILE replaces it",
                                  options.run.run));
  const RecordedRun recorded = open_recorded(options.run);
  const RunConfig& run = recorded.run;
  const std::uint64_t rows = recorded.rows();
  if (options.row.value_or(options.from) >= rows)
    throw ConfigError(fmt::format("{}: the stream has {} rows: there is no row {}", run.file.string(), rows,
                                  options.row.value_or(options.from)));
  const Vocabulary vocabulary = open_vocabulary(run.vocabulary);
  const std::uint64_t first = options.row.value_or(options.from);
  const std::uint64_t end = std::min(first + rows_wanted(options), rows);
  if (recorded.rows_trained && end > *recorded.rows_trained)
    say("the run has been trained on {} rows so far; later rows are still to come", *recorded.rows_trained);
  const std::vector<std::string> corpora = names_of(recorded.corpora);
  if (!options.statistics) {
    RowContext context{run.stream, &vocabulary, corpora, {}};
    for (const RunCorpus& corpus : recorded.corpora) context.shards.push_back(corpus.shards);
    make_rows_again(recorded, vocabulary, {first, end, options.threads, false},
                    [&](const StreamRow& row) { print_row(row, context, options.json); });
    return;
  }
  MixingOptions mixing = options.mixing;
  if (!mixing.batch_rows) mixing.batch_rows = static_cast<std::uint64_t>(run.train.batch_rows);
  const PropertiesOf properties = recorded_properties(recorded, vocabulary, mixing.by, options.threads);
  RowCounts counts(run.stream, vocabulary.pieces(), mixing);
  make_rows_again(recorded, vocabulary, {first, end, options.threads, true},
                  [&](const StreamRow& row) { counts.add(row); });
  counts.print(corpora, properties, options.json);
}

}  // namespace

void add_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  const Command command(app, "inspect",
                        "Show examples of a run's stream, or of a folder of rows, as the model will see them");
  add_run_options(command, options->run);
  command.get_option("run").description("Run file, the folder of a run, or a folder of preprocess --format rows");
  command.add_option("--vocab", options->vocabulary, "Of a folder of rows: the vocabulary, to show text");
  command.add_option("--rows,--examples", options->rows, "How many rows; without it 4, or 1000 with --stats")
      .whole_number_from(1, kMostWhole);
  command.add_option("--from", options->from, "Number of the first row").whole_number_from(0, kMostWhole);
  command.add_flag("--stats", options->statistics,
                   "Count instead of showing: real positions, loss, denoisers, masks and spans beside what was asked; "
                   "and how well the rows are mixed, beside perfect shuffles of their examples");
  command
      .add_option(
          "--batch-rows", options->mixing.batch_rows,
          "With --stats: rows of a step, in which pairs that share a document are counted; without it the run's")
      .whole_number_from(1, kMostWhole);
  command
      .add_option("--window-rows", options->mixing.window_rows,
                  fmt::format("With --stats: rows of a window, that is compared with all; without it {}",
                              MixingOptions::kWindowRows))
      .whole_number_from(1, kMostWhole);
  command.add_option("--by", options->mixing.by,
                     "With --stats: compare windows by this field too, not by shard alone: lang, license, ... or a "
                     "dotted path; reads all shards of the rows' corpora once more");
  command.add_option("--row", options->row, "Only this row").whole_number_from(0, kMostWhole);
  command.add_threads_option(options->threads, "Threads of the pipeline", "all cores");
  command.add_flag("--json", options->json, "One JSON object a row; with --stats one for all");
  command.footer(
      "Example:\n  millrace inspect mixes/runs/quickstart.toml --data data/sample --rows 2\n"
      "  millrace inspect mixes/runs/quickstart.toml --data data/sample --stats --rows 10000 --by lang\n"
      "  millrace inspect data/rows --vocab data/vocab.model --row 7");
  command.callback([options] { inspect(*options); });
}

}  // namespace millrace
