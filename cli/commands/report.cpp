#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/commands/inspect_statistics.h"
#include "cli/commands/recorded_rows.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/results.h"
#include "cli/report/report_data.h"
#include "cli/report/report_mixing.h"
#include "cli/report/report_page.h"
#include "stages/errors.h"
#include "stages/io/output_file.h"
#include "trainer/run/recorded_run.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMeasuredRows = 100'000;

struct ReportOptions {
  RunSource run;
  std::string out;
  bool mixing = false;
  std::optional<std::uint64_t> rows;
  MixingOptions how;
  int threads = 0;
  bool json = false;
};

void refuse_without_mixing(const ReportOptions& options) {
  if (options.mixing) return;
  for (const auto& [name, is_given] :
       {std::pair("--rows", options.rows.has_value()), std::pair("--window-rows", options.how.window_rows.has_value()),
        std::pair("--by", !options.how.by.empty())}) {
    if (is_given) throw ConfigError(fmt::format("{} says how --mixing measures: add --mixing", name));
  }
}

/// Makes the last rows that were trained on again, and keeps in the run folder how well they are mixed.
void measure_mixing(const ReportOptions& options) {
  const fs::path file = mixing_file(options.run.run);
  require_writable(file, OutputKind::file);
  const RecordedRun recorded = open_recorded(options.run);
  const std::uint64_t end = recorded.rows_trained.value_or(0);
  if (end == 0)
    throw ConfigError(fmt::format(
        "{}: not trained on any row yet: there is no mixing to measure. Measure it once metrics.jsonl has a step",
        options.run.run));
  const Vocabulary vocabulary = open_vocabulary(recorded.run.vocabulary);
  const PropertiesOf properties = recorded_properties(recorded, vocabulary, options.how.by, options.threads);
  const std::uint64_t first = end - std::min(end, options.rows.value_or(kMeasuredRows));
  RowMixing mixing(static_cast<std::uint64_t>(recorded.run.train.batch_rows),
                   options.how.window_rows.value_or(MixingOptions::kWindowRows));
  make_rows_again(recorded, vocabulary, {first, end, options.threads, true},
                  [&](const StreamRow& row) { mixing.add(row); });
  const MixingRecord record = measure_all(mixing, names_of(recorded.corpora), properties);
  write_output(file, OutputKind::file, mixing_file_text(record, load_run({options.run.run, "", {}})),
               interrupt_requested);
}

void report(const ReportOptions& options) {
  refuse_without_mixing(options);
  require_run(options.run.run);
  if (options.mixing) measure_mixing(options);
  const std::string data = report_json(options.run.run);
  if (options.json) {
    print_results(data + "\n");
    return;
  }
  const fs::path out = options.out.empty() ? fs::path(options.run.run) / "report.html" : fs::path(options.out);
  write_output(out, OutputKind::file_or_stream, report_page(data), interrupt_requested);
  print_results(out.string() + "\n");
}

}  // namespace

void add_report(CLI::App& app) {
  auto options = std::make_shared<ReportOptions>();
  const Command command(app, "report", "A run's charts, settings and checkpoints as one HTML file");
  command.add_option("rundir", options->run.run, "Folder of the run; it may still be going on").required();
  command.add_option("--out", options->out, "Where to write; default: RUNDIR/report.html");
  command.add_flag("--mixing", options->mixing,
                   "Measure first how well the rows are mixed, and keep that in RUNDIR/mixing.json for this report and "
                   "later ones: makes the last rows that were trained on again, from the shards");
  command
      .add_option("--rows", options->rows,
                  fmt::format("With --mixing: how many of the last rows; without it {}, or all", kMeasuredRows))
      .whole_number_from(1, kMostWhole);
  command
      .add_option("--window-rows", options->how.window_rows,
                  fmt::format("With --mixing: rows of a window, that is compared with all; without it {}",
                              MixingOptions::kWindowRows))
      .whole_number_from(1, kMostWhole);
  command.add_option("--by", options->how.by,
                     "With --mixing: compare windows by this field too, not by shard alone: lang, license, ... or a "
                     "dotted path; reads all shards of the rows' corpora once more");
  command
      .add_option("--data", options->run.data,
                  "With --mixing: folder where the mixes' relative shard patterns start; without it as the run says")
      .environment("MILLRACE_DATA");
  command.add_threads_option(options->threads, "With --mixing: threads of the pipeline", "all cores");
  command.add_flag("--json", options->json, "Print the report's data as JSON instead");
  command.footer(
      "Example:\n  millrace report runs/quickstart --out quickstart.html\n"
      "  millrace report runs/quickstart --mixing --by lang");
  command.callback([options] { report(*options); });
}

}  // namespace millrace
