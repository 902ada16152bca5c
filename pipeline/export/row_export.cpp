#include "pipeline/export/row_export.h"

#include <optional>
#include <utility>

#include "pipeline/export/rejects_file.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/start_position.h"
#include "pipeline/stream/data_pipeline.h"

namespace millrace {
namespace {

constexpr std::size_t kRowsAhead = 64;

/// How far the writing is: between parts.
struct RowProgress {
  std::optional<StreamPosition> position;
  Ledger ledger;
  std::optional<JsonValue> writer;  ///< What it said it needs to go on.
};

Json progress_json(const RowProgress& progress, const Json& writer) {
  return {{"position", *progress.position}, {"ledger", progress.ledger}, {"writer", writer}};
}

void from_json(const JsonValue& json, RowProgress& progress) {
  progress = {json.get<StreamPosition>("position"), json.get<Ledger>("ledger"), json.at("writer")};
}

void add_rejects(const StreamRow& row, const std::vector<RunCorpus>& corpora, RejectsFile& file) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i)
    file.add_of_row(corpora[row.reject_corpora[i]].corpus.name, row.number, row.rejects[i]);
}

std::vector<CorpusAccount> accounts_of(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                       const RowProgress& progress) {
  const StreamPosition position = progress.position ? *progress.position : start_of(config, corpora);
  std::vector<CorpusAccount> accounts;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const CorpusPosition& place = position.corpora[i];
    CorpusAccount& account =
        accounts.emplace_back(account_of_rows(place, progress.ledger, static_cast<std::uint32_t>(i)));
    const bool all = place.epoch() > 0 || !place.open;
    account.not_reached = all ? 0 : records_not_reached(config, corpora[i], account.records.read);
    check_account(account);
  }
  return accounts;
}

}  // namespace

ExportEnd export_rows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const Vocabulary& vocabulary,
                      const RowFormat& format, const ExportIdentity& identity, int threads, StagedFolder& folder,
                      const ExportWatch& watch, RowsWritten& written) {
  const auto length = static_cast<std::uint64_t>(config.sequence_length);
  const std::uint64_t tokens = identity.tokens.value_or(config.phases.back().until);
  const std::uint64_t wanted = (tokens + length - 1) / length;
  RowProgress progress;
  if (folder.state()) progress = folder.state()->as<RowProgress>();
  const std::unique_ptr<RowWriter> writer =
      format.writer(folder, {config.sequence_length, identity, progress.writer ? &*progress.writer : nullptr});

  DataPipeline::Options options;
  options.threads = threads;
  options.queued_batches = kRowsAhead;  // Of one row each.
  options.interrupted = watch.interrupted;
  DataPipeline pipeline(config, corpora, vocabulary, progress.position, options);
  RejectsFile rejects(folder, watch);
  if (progress.position)
    for (const CorpusPosition& place : progress.position->corpora) rejects.begin(place.corpus, place.records.rejected);
  std::uint64_t rows = progress.position ? progress.position->row : 0;
  while (rows < wanted) {
    const std::optional<Batch> batch = pipeline.next();
    if (watch.interrupted()) return ExportEnd::interrupted;  // What is not in a part yet is made again.
    if (!batch) break;
    const StreamRow& row = batch->front();
    add_rejects(row, corpora, rejects);
    writer->add(row);
    progress.ledger.add(row);
    progress.position = *row.after;
    rows = row.number + 1;
    if (writer->is_between_parts()) folder.save(progress_json(progress, writer->state()));
    watch.progress(format.name, rows * length, wanted * length, "tokens");
  }
  if (rows < wanted) {
    written.end = pipeline.end();
    add_rejects(*written.end, corpora, rejects);
    progress.position = *written.end->after;
  }
  pipeline.stop();
  writer->end_part();
  writer->finish();
  rejects.close();
  written.rows = rows;
  written.accounts = accounts_of(config, corpora, progress);
  return ExportEnd::complete;
}

}  // namespace millrace
