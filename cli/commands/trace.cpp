#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/views/document_view.h"
#include "pipeline/stream/document_search.h"
#include "stages/errors.h"
#include "stages/record_reader.h"
#include "stages/shards/shard_to_records.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/run/recorded_run.h"

namespace millrace {
namespace {

struct TraceOptions {
  RunSource run;
  std::string document;
  int threads = 0;
  bool json = false;
};

/// A document, given as SHARD:RECORD.
struct DocumentName {
  std::string shard;
  std::uint64_t record = 0;
};

DocumentName parse_name(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const bool has_number = colon != std::string::npos && colon + 1 < text.size() &&
                          text.find_first_not_of("0123456789", colon + 1) == std::string::npos;
  if (!has_number || colon == 0)
    throw ConfigError(fmt::format("--document {}: expected SHARD:RECORD, as in part-0.jsonl.zst:1234", text));
  try {
    return {text.substr(0, colon), std::stoull(text.substr(colon + 1))};
  } catch (const std::out_of_range&) {
    throw ConfigError(fmt::format("--document {}: there is no such record", text));
  }
}

void trace(const TraceOptions& options) {
  const DocumentName document = parse_name(options.document);
  const RecordedRun recorded = open_recorded(options.run);
  const std::vector<ShardOfCorpus> places = corpora_with(recorded.corpora, document.shard);
  const std::uint64_t end = recorded.rows_trained.value_or(recorded.has_run ? 0 : recorded.rows());
  if (!recorded.has_run)
    say("{} never ran: its stream is made from row 0 to its end, row {}", recorded.run.file.string(), end);
  const Vocabulary vocabulary = open_vocabulary(recorded.run.vocabulary);
  const SearchedRows rows{recorded.run.stream, recorded.corpora, vocabulary, recorded.positions, end, options.threads};
  JobProgress progress;
  std::vector<FoundDocument> all;
  for (const ShardOfCorpus& place : places) {
    all.push_back(find_document(rows, place, document.record, progress.callbacks()));
    progress.finish();
    if (!options.json) print_results(document_text(all.back(), end));
  }
  if (options.json) print_results(documents_json(all, end));
}

}  // namespace

void add_trace(CLI::App& app) {
  const auto options = std::make_shared<TraceOptions>();
  const Command command(app, "trace", "Show which rows of a run held a document");
  add_run_options(command, options->run);
  command.add_option("--document", options->document, "SHARD:RECORD, as inspect and rejects.jsonl name it").required();
  command.add_threads_option(options->threads, "Threads of the pipeline", "all cores");
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer(
      "Only rows near the document are made again, by the positions that the run recorded.\n"
      "Example:\n  millrace trace runs/quickstart --document redpajama/docs/docs-00000-of-00001.jsonl.zst:1234");
  command.callback([options] { trace(*options); });
}

}  // namespace millrace
