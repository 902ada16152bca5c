#include <algorithm>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/option_checks.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/console/run_options.h"
#include "cli/console/text_table.h"
#include "pipeline/config/config_table.h"
#include "pipeline/corpora/held_out.h"
#include "pipeline/stream/data_pipeline.h"
#include "pipeline/stream/document_search.h"
#include "stages/errors.h"
#include "stages/record_reader.h"
#include "stages/shards/shard_to_records.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/run/recorded_run.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

struct TraceOptions {
  RunOptions run;
  std::string document;
  int threads = 0;
  bool json = false;
};

/// A document as the user names it: SHARD:RECORD.
struct DocumentName {
  std::string shard;
  std::uint64_t record = 0;
};

/// Part of a document that a row holds.
struct Hit {
  std::uint64_t row = 0;
  std::uint64_t example = 0;
  std::uint64_t epoch = 0;
  std::uint32_t phase = 0;
  std::string denoiser;
  std::uint64_t from = 0, to = 0;  ///< Tokens of the document.
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
    throw ConfigError(fmt::format("--document {}: there are not so many records", text));
  }
}

/// Corpora that the shard belongs to, with its index in each.
std::vector<std::pair<std::size_t, std::uint32_t>> find_shard(const std::vector<RunCorpus>& corpora,
                                                              const std::string& shard) {
  std::vector<std::pair<std::size_t, std::uint32_t>> found;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const std::vector<std::string>& shards = corpora[i].shards;
    const auto place = std::ranges::find(shards, shard);
    if (place != shards.end()) found.emplace_back(i, static_cast<std::uint32_t>(place - shards.begin()));
    all.insert(all.end(), shards.begin(), shards.end());
  }
  if (found.empty())
    throw ConfigError(fmt::format("--document: the run has no shard \"{}\"{}", shard, did_you_mean(shard, all)));
  return found;
}

/// Why a record can be in no row; empty if it can. Throws ConfigError if the shard has not so many records.
std::string why_never_read(const StreamConfig& stream, const Corpus& corpus, const DocumentName& document) {
  const std::string path = shard_path(stream, document.shard);
  const std::unique_ptr<RecordReader> reader = open_shard(path, reader_options(stream, corpus, path), document.record);
  Record record;
  do {
    if (reader->next_record() > document.record || !reader->next(record))
      throw ConfigError(fmt::format("--document: {} has no record {}; it ends before record {}", document.shard,
                                    document.record, reader->next_record()));
    expect_readable(record);
  } while (reader->next_record() <= document.record);
  if (const auto* reject = std::get_if<Reject>(&record))
    return fmt::format("rejected ({}: {})", millrace::name_of(reject->cause), reject->reason);
  if (std::holds_alternative<Filtered>(record)) return "left out by the corpus's keep, drop or where";
  return is_held_out(std::get<Document>(record).text, stream.holdout) ? "held out for evaluation" : "";
}

class Search {
 public:
  Search(const RecordedRun& recorded, const Vocabulary& vocabulary, int threads)
      : recorded_(recorded), stream_(recorded.run.stream), vocabulary_(vocabulary), threads_(threads) {}

  std::vector<Hit> find(const RunCorpus& corpus, std::uint32_t shard, std::uint64_t record, std::uint64_t end) {
    const std::vector<RowRange> ranges =
        rows_that_may_hold(corpus, shard, record, stream_.seed, recorded_.positions, end);
    std::uint64_t rows = 0;
    for (const RowRange& range : ranges) rows += range.to - range.from;
    say("corpus {}: making {} of {} rows again", corpus.corpus.name, rows, end);
    Progress progress("replay", rows, "rows");
    for (const RowRange& range : ranges) replay(range, corpus.corpus.name, shard, record, progress);
    progress.finish();
    return std::move(hits_);
  }

  std::uint64_t rows_replayed() const { return replayed_; }

 private:
  void replay(const RowRange& range, const std::string& corpus, std::uint32_t shard, std::uint64_t record,
              Progress& progress) {
    DataPipeline::Options options;
    options.threads = threads_;
    DataPipeline pipeline(stream_, recorded_.corpora, vocabulary_, range.start, options);
    while (const auto batch = pipeline.next()) {
      if (interrupt_requested()) throw Interrupted();
      const StreamRow& row = batch->front();
      if (row.number >= range.to) break;
      progress.update(++replayed_);
      for (const ExampleOrigin& origin : row.examples) {
        if (recorded_.corpora[origin.corpus].corpus.name != corpus) continue;
        for (const DocumentSpan& span : origin.documents) {
          if (span.shard != shard || span.record != record) continue;
          hits_.push_back({row.number, origin.example, span.epoch, origin.phase,
                           stream_.phases[origin.phase].objective.denoisers[origin.denoiser].name, span.from, span.to});
        }
      }
    }
  }

  const RecordedRun& recorded_;
  const StreamConfig& stream_;
  const Vocabulary& vocabulary_;
  int threads_;
  std::uint64_t replayed_ = 0;
  std::vector<Hit> hits_;
};

Json as_json(const std::string& corpus, const DocumentName& document, const std::string& never,
             const std::vector<Hit>& hits) {
  Json rows = Json::array();
  for (const Hit& hit : hits)
    rows.push_back({{"row", hit.row},
                    {"example", hit.example},
                    {"epoch", hit.epoch},
                    {"phase", hit.phase},
                    {"denoiser", hit.denoiser},
                    {"from", hit.from},
                    {"to", hit.to}});
  return {{"corpus", corpus},
          {"shard", document.shard},
          {"record", document.record},
          {"never_read_because", never.empty() ? Json() : Json(never)},
          {"rows", rows}};
}

std::string as_text(const std::string& corpus, const DocumentName& document, const std::string& never,
                    const std::vector<Hit>& hits, std::uint64_t end) {
  std::string out = fmt::format("{}:{} of corpus {}", document.shard, document.record, corpus);
  if (!never.empty()) return out + fmt::format(": in no row, it is {}\n", never);
  if (hits.empty()) return out + fmt::format(": not in the first {} rows: not reached yet\n", end);
  TextTable table({{"row"}, {"example"}, {"epoch"}, {"phase"}, {"denoiser", TextTable::Align::left}, {"tokens"}});
  for (const Hit& hit : hits)
    table.add({fmt::format("{}", hit.row), fmt::format("{}", hit.example), fmt::format("{}", hit.epoch),
               fmt::format("{}", hit.phase + 1), hit.denoiser, fmt::format("{} to {}", hit.from, hit.to)});
  return out + "\n" + table.text();
}

void trace(const TraceOptions& options) {
  const DocumentName document = parse_name(options.document);
  const RecordedRun recorded = open_recorded(options.run);
  const StreamConfig& stream = recorded.run.stream;
  const std::vector<RunCorpus>& corpora = recorded.corpora;
  const auto places = find_shard(corpora, document.shard);
  const std::uint64_t end = recorded.rows_trained.value_or(recorded.has_run ? 0 : recorded.rows());
  if (!recorded.has_run)
    say("{} never ran: its stream is made from row 0 to its end, row {}", recorded.run.file.string(), end);
  const Vocabulary vocabulary = open_vocabulary(recorded.run.vocabulary);
  Json all = Json::array();
  for (const auto& [corpus, shard] : places) {
    const std::string never = why_never_read(stream, corpora[corpus].corpus, document);
    Search search(recorded, vocabulary, options.threads);
    std::vector<Hit> hits;
    if (never.empty() && end > 0) hits = search.find(corpora[corpus], shard, document.record, end);
    const std::string& name = corpora[corpus].corpus.name;
    if (options.json) {
      all.push_back(as_json(name, document, never, hits));
    } else {
      print_results(as_text(name, document, never, hits, end));
    }
  }
  if (options.json)
    print_results(Json{{"rows_trained", end}, {"documents", all}}.dump(2, ' ', false, Json::error_handler_t::replace) +
                  "\n");
}

}  // namespace

void add_trace(CLI::App& app) {
  const auto options = std::make_shared<TraceOptions>();
  CLI::App* command = app.add_subcommand("trace", "Show which rows of a run held a document");
  add_run_options(*command, options->run);
  command->add_option("--document", options->document, "SHARD:RECORD, as inspect and rejects.jsonl name it")
      ->required();
  add_threads_option(*command, options->threads, "Threads of the pipeline", "all cores");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Only rows near the document are made again, by the positions that the run recorded.\n"
      "Example:\n  millrace trace runs/quickstart --document redpajama/docs/docs-00000-of-00001.jsonl.zst:1234");
  command->callback([options] { trace(*options); });
}

}  // namespace millrace
