#include "pipeline/export/preprocess.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/export_view.h"
#include "pipeline/formats/formats.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/disk.h"
#include "stages/io/output_file.h"
#include "trainer/config/run_config.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostTokens = 1'000'000'000'000'000'000;

struct PreprocessArguments {
  RunSource run;
  std::string out;
  std::string format;
  std::string check;
  std::optional<std::uint64_t> tokens;
  std::optional<std::uint64_t> part_bytes;
  int threads = 0;
  int save_seconds = 15;
  bool json = false;
};

/// "olmo (1024 MiB)": those whose parts have a bound, and what it is where nobody asks for another.
std::vector<std::string> formats_in_parts() {
  std::vector<std::string> lines;
  const auto add = [&lines](const auto& format) {
    if (format.part_bytes > 0) lines.push_back(fmt::format("{} ({} MiB)", format.name, format.part_bytes >> 20));
  };
  for (const DocumentFormat& format : document_formats()) add(format);
  for (const RowFormat& format : row_formats()) add(format);
  return lines;
}

void check(const PreprocessArguments& arguments) {
  const std::vector<Damage> damage = check_output(arguments.check, interrupt_requested);
  if (interrupt_requested()) throw Interrupted();
  print_results(arguments.json ? damage_json(damage) : damage_text(arguments.check, damage));
  if (!damage.empty()) throw DataError(fmt::format("{}: damaged; see above", arguments.check));
}

void write(const PreprocessArguments& arguments) {
  for (const auto& [option, value] : {std::pair("RUN", &arguments.run.run), std::pair("--out", &arguments.out),
                                      std::pair("--format", &arguments.format)})
    if (value->empty()) throw ConfigError(fmt::format("preprocess: {} is missing", option));
  require_name(arguments.out);
  const RunConfig run = load_run(arguments.run);
  const Vocabulary vocabulary = open_vocabulary(run.vocabulary);
  PreprocessOptions options;
  options.out = arguments.out;
  options.format = arguments.format;
  options.tokens = arguments.tokens;
  options.part_bytes = arguments.part_bytes;
  options.tokenizer = run.vocabulary.filename().string();
  options.threads = arguments.threads;

  JobProgress progress;
  const ExportWatch watch{progress.callbacks(), std::chrono::seconds(arguments.save_seconds)};
  const PreprocessResult result = [&] {
    const SavesWhenInterrupted saves;
    try {
      return preprocess(run.stream, vocabulary, options, watch);
    } catch (const std::system_error& error) {
      if (is_impossible_path(error.code())) throw;
      throw std::runtime_error(fmt::format("{}; the same command goes on from the last save", error.what()));
    }
  }();
  progress.finish();
  if (result.end == ExportEnd::interrupted) {
    say("interrupted; the same command goes on from what is in {}", arguments.out);
    throw Interrupted();
  }
  if (result.was_complete) say("{}: complete already; nothing was done", arguments.out);
  if (result.manifest.stream_ended)
    say("the stream ended after {} rows, before it had the positions asked for", result.manifest.rows);
  print_results(arguments.json ? json_page(result.manifest) : account_text(result.manifest));
}

}  // namespace

void add_preprocess(CLI::App& app) {
  auto arguments = std::make_shared<PreprocessArguments>();
  const Command command(app, "preprocess", "Write a run's documents or rows as files for other trainers");
  add_run_options(command, arguments->run);
  command.get_option("run").required(false);
  command.add_option("--out", arguments->out, "Folder to write; if it was begun and not finished, goes on there");
  command.add_option("--format", arguments->format,
                     fmt::format("{}: every document once; {}: the run's rows", names_of(document_formats()),
                                 names_of(row_formats())));
  command
      .add_option("--tokens", arguments->tokens,
                  "Of documents: raw tokens to stop at, by the corpora's shares. Of rows: positions to write")
      .count_from(1, kMostTokens);
  command
      .add_option("--part-bytes", arguments->part_bytes,
                  fmt::format("Longest part of {}", fmt::join(formats_in_parts(), ", ")))
      .whole_number_from(1, kMostWhole);
  command.add_threads_option(arguments->threads, "Threads", "all cores");
  command
      .add_option("--save-seconds", arguments->save_seconds,
                  "How often documents are saved: what a kill may cost; 0: after every few hundred")
      .whole_number_from(0, kMostInt);
  command.add_option("--check", arguments->check, "Verify everything in this folder instead")
      .type_name("DIR")
      .excludes({"--out", "--format"});
  command.add_flag("--json", arguments->json, "Print the account, or the damage, as JSON");
  command.footer(
      "Example:\n  millrace preprocess mixes/runs/quickstart.toml --data data/sample --out data/megatron --format "
      "megatron\n  millrace preprocess --check data/megatron\n"
      "Killed or interrupted, the same command goes on; the files are the same as without the stop.");
  command.callback([arguments] { arguments->check.empty() ? write(*arguments) : check(*arguments); });
}

}  // namespace millrace
