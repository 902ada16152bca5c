#include "pipeline/row_export.h"

#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "pipeline/data_pipeline.h"
#include "pipeline/mixer.h"
#include "pipeline/reject_json.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kRowsAhead = 64;

/// How far the writing is: between parts.
struct Progress {
  std::optional<Position> position;
  Ledger ledger;
  Json writer;
};

std::string to_json(const Progress& progress) {
  return Json{{"position", Json::parse(to_json(*progress.position))},
              {"ledger", Json::parse(progress.ledger.to_json())},
              {"writer", progress.writer}}
      .dump();
}

Progress progress_from_json(const std::string& text) {
  const Json json = Json::parse(text);
  return {position_from_json(json.at("position").dump()), Ledger::from_json(json.at("ledger").dump()),
          json.at("writer")};
}

void note_rejects(const StreamRow& row, const std::vector<std::string>& corpora, StagedFolder& folder) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i) {
    Json line{{"corpus", corpora[row.reject_corpora[i]]}, {"row", row.number}};
    line.update(Json::parse(to_json(row.rejects[i])));
    folder.append(kRejects, line.dump() + "\n");
  }
}

std::uint64_t record_causes(const RecordCounts& records) {
  std::uint64_t sum = 0;
  for (int cause = 0; cause <= static_cast<int>(RejectCause::too_long); ++cause)
    sum += records.rejected[static_cast<std::size_t>(cause)];
  return sum;
}

std::vector<CorpusAccount> accounts_of(const StreamConfig& config, const Progress& progress) {
  const std::vector<RunCorpus> corpora = corpora_of(config, FindShards::yes);
  std::map<std::uint32_t, Ledger::Entry> eaten;
  for (const auto& [key, entry] : progress.ledger.entries()) {
    eaten[key.corpus].documents += entry.documents;
    eaten[key.corpus].raw_tokens += entry.raw_tokens;
  }
  const Position position = progress.position ? *progress.position : start_of(config, corpora);
  std::vector<CorpusAccount> accounts;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const CorpusPosition& place = position.corpora[i];
    const Ledger::Entry& entry = eaten[static_cast<std::uint32_t>(i)];
    CorpusAccount& account = accounts.emplace_back();
    account.corpus = place.corpus;
    account.records = place.records;
    account.documents = entry.documents;
    account.raw_tokens = entry.raw_tokens;
    account.tail_tokens = place.tail_tokens;
    const RecordCounts& records = place.records;
    // Documents that are in no row, and records that gave none.
    const std::uint64_t others = records.read - records.held_out - records.filtered - records.skipped - entry.documents;
    account.rejected_records = place.open ? others : std::min(others, record_causes(records));
    account.tail_documents = others - account.rejected_records;
    if (place.epoch > 0 || !place.open) {
      account.not_reached = 0;
    } else if (const auto known = records_in(config, corpora[i]); known && *known >= records.read) {
      account.not_reached = *known - records.read;
    }
    check_account(account);
  }
  return accounts;
}

}  // namespace

ExportEnd export_rows(const StreamConfig& config, const Vocabulary& vocabulary, const RowFormat& format,
                      const OutputIdentity& identity, int threads, StagedFolder& folder, const ExportWatch& watch,
                      RowsWritten& written) {
  const auto length = static_cast<std::uint64_t>(config.sequence_length);
  const std::uint64_t tokens = identity.tokens.value_or(config.phases.back().until);
  const std::uint64_t wanted = (tokens + length - 1) / length;
  Progress progress;
  if (folder.state()) progress = progress_from_json(*folder.state());
  const std::unique_ptr<RowWriter> writer =
      format.writer(folder, {config.sequence_length, identity, folder.state() ? &progress.writer : nullptr});
  folder.create(kRejects);

  DataPipeline::Options options;
  options.threads = threads;
  options.queued_batches = kRowsAhead;  // Of one row each: the stream drops a last, incomplete batch.
  DataPipeline pipeline(config, vocabulary, progress.position, options);
  const auto save = [&] {
    progress.writer = writer->state();
    folder.save(to_json(progress));
  };
  std::uint64_t rows = progress.position ? progress.position->row : 0;
  while (rows < wanted) {
    if (watch.interrupted()) return ExportEnd::interrupted;  // What is not in a part yet is made again.
    const std::optional<Batch> batch = pipeline.next();
    if (!batch) break;
    const StreamRow& row = batch->front();
    note_rejects(row, pipeline.corpora(), folder);
    writer->add(row);
    progress.ledger.add(row);
    progress.position = *row.after;
    rows = row.number + 1;
    if (writer->is_between_parts()) save();
    watch.progress(format.name, rows * length, wanted * length, "tokens");
  }
  pipeline.stop();
  writer->end_part();
  writer->finish();
  folder.close(kRejects);
  written = {rows, rows < wanted, accounts_of(config, progress)};
  return ExportEnd::complete;
}

}  // namespace millrace
