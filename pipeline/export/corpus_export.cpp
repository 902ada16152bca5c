#include "pipeline/export/corpus_export.h"

#include <algorithm>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"

namespace millrace {

void encode(EncodedBatch& batch, const Vocabulary& vocabulary, double holdout) {
  for (RecordBatch::Entry& entry : batch.read.entries) {
    RecordLocation& where = batch.places.emplace_back();
    std::string& id = batch.ids.emplace_back();
    if (auto* document = std::get_if<Document>(&entry.record)) {
      where = document->where;
      if (!document->fields.empty()) id = std::move(document->fields.front());
    }
    ReadRecord item;
    item.record = std::move(entry.record);
    // Documents are written once, whatever epochs a mix asks for.
    batch.items.push_back(record_to_tokens(std::move(item), vocabulary, {.holdout = holdout}));
  }
}

CorpusExport::CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
                           const DocumentExport& what, StagedFolder& folder, const ExportWatch& watch,
                           CorpusAccount& account)
    : config_(config),
      corpus_(corpus),
      folder_(folder),
      watch_(watch),
      account_(account),
      eos_(vocabulary.eos()),
      judge_(corpus.corpus.name, config.max_bad_fraction) {
  notices_.begin(corpus.corpus.name, account.records.rejected);
  DocumentFiles files;
  files.corpus = corpus.corpus.name;
  files.id_type = what.format->id_type(static_cast<std::uint64_t>(vocabulary.size()));
  files.tokenizer = what.tokenizer;
  files.part_bytes = what.part_bytes;
  writer_ = what.format->writer(folder, files);
}

void CorpusExport::write(EncodedBatch& batch) {
  for (std::size_t i = 0; i < batch.items.size() && !is_full(); ++i) {
    EncodedRecord& item = batch.items[i];
    for (Reject& reject : item.rejects) note(reject, batch.read.shard);
    count(item, batch.read.entries[i].counts);
    if (item.kind != EncodedRecord::Kind::document) continue;
    ++account_.documents;
    account_.raw_tokens += item.tokens.size();
    TokenDocument document{std::move(item.tokens), std::move(batch.ids[i]), std::move(batch.places[i])};
    document.tokens.push_back(eos_);
    document.where.shard = corpus_.shards[batch.read.shard];
    writer_->add(document);
  }
  if (!batch.read.failure.empty() && !is_full()) throw DataError(batch.read.failure);
}

void CorpusExport::finish() {
  if (!is_full()) {
    judge(true);
    if (account_.documents == 0)
      throw DataError(
          fmt::format("corpus \"{}\": none of its {} records ({} rejected, {} filtered, {} held out) gives a "
                      "document; check its shards, layout, text_field, keep, drop and where",
                      corpus_.corpus.name, account_.records.read, account_.records.rejected_records,
                      account_.records.filtered, account_.records.held_out));
    account_.not_reached = 0;
  } else if (const auto known = records_in(config_, corpus_); known && *known >= account_.records.read) {
    account_.not_reached = *known - account_.records.read;
  }
  check_account(account_);
  writer_->finish();
}

void CorpusExport::note(Reject& reject, std::uint64_t shard) {
  if (config_.on_bad_data == OnBadData::fail) throw DataError(refusal_of(reject, corpus_.corpus.name));
  judge_.note(reject);
  if (const auto line = notices_.line(corpus_.corpus.name, reject)) watch_.notice(*line);
  account_.records.lost += reject.loss;
  ++account_.records.rejected[static_cast<std::size_t>(reject.cause)];
  reject.where.shard = corpus_.shards[shard];
  Json line{{"corpus", corpus_.corpus.name}};
  line.update(Json(reject));
  folder_.append(kRejects, json_line(line) + "\n");
}

void CorpusExport::count(const EncodedRecord& item, bool is_record) {
  if (is_record) {
    ++account_.records.read;
    account_.records.bytes += item.bytes;
    account_.records.held_out += item.kind == EncodedRecord::Kind::held_out;
    account_.records.filtered += item.kind == EncodedRecord::Kind::filtered;
    account_.records.rejected_records += item.kind == EncodedRecord::Kind::rejected;
  }
  judge(false);
}

void CorpusExport::judge(bool at_end) const {
  if (const auto verdict = judge_.verdict(account_.records, at_end)) throw DataError(*verdict);
}

}  // namespace millrace
