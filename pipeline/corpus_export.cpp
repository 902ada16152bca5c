#include "pipeline/corpus_export.h"

#include <algorithm>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/reject_json.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kRecordsBeforeJudging = 10'000;  // As the stream's own rule.

}  // namespace

void encode(BatchInMaking& batch, const Vocabulary& vocabulary, double holdout) {
  for (RecordBatch::Entry& entry : batch.read.entries) {
    Where& where = batch.places.emplace_back();
    std::string& id = batch.ids.emplace_back();
    if (auto* document = std::get_if<Document>(&entry.record)) {
      where = document->where;
      if (!document->fields.empty()) id = std::move(document->fields.front());
    }
    ReadItem item;
    item.record = std::move(entry.record);
    constexpr double kNoLimit = 0;  // Documents are written once, whatever epochs a mix asks for.
    batch.items.push_back(record_to_item(std::move(item), vocabulary, holdout, kNoLimit));
  }
}

CorpusExport::CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
                           const DocumentExport& what, StagedFolder& folder, CorpusAccount& account)
    : config_(config), corpus_(corpus), folder_(folder), account_(account), eos_(vocabulary.eos()) {
  DocumentFiles files;
  files.corpus = corpus.corpus.name;
  files.id_type = what.format->id_type(static_cast<std::uint64_t>(vocabulary.size()));
  files.tokenizer = what.tokenizer;
  files.part_bytes = what.part_bytes;
  writer_ = what.format->writer(folder, files);
}

void CorpusExport::write(BatchInMaking& batch) {
  for (std::size_t i = 0; i < batch.items.size() && !is_full(); ++i) {
    EncodedItem& item = batch.items[i];
    for (Reject& reject : item.rejects) note(reject, batch.read.shard);
    count(item, batch.read.entries[i].counts);
    if (item.kind != EncodedItem::Kind::document) continue;
    ++account_.documents;
    account_.raw_tokens += item.tokens.size();
    TokenDocument document{std::move(item.tokens), std::move(batch.ids[i]), std::move(batch.places[i])};
    document.tokens.push_back(eos_);
    document.where.shard = corpus_.shards[batch.read.shard];
    writer_->add(document);
  }
}

void CorpusExport::finish() {
  if (!is_full()) {
    judge();
    if (account_.documents == 0)
      throw DataError(
          fmt::format("corpus \"{}\": none of its {} records ({} rejected, {} filtered, {} held out) gives a "
                      "document; check its shards, layout, text_field, keep, drop and where",
                      corpus_.corpus.name, account_.records.read, account_.rejected_records, account_.records.filtered,
                      account_.records.held_out));
    account_.not_reached = 0;
  } else if (const auto known = records_in(config_, corpus_); known && *known >= account_.records.read) {
    account_.not_reached = *known - account_.records.read;
  }
  check_account(account_);
  writer_->finish();
}

void CorpusExport::note(Reject& reject, std::uint64_t shard) {
  if (config_.on_bad_data == OnBadData::fail)
    throw DataError(fmt::format(
        "{}:{} (record {}, byte {}): {}: {}\n  in corpus \"{}\"; to skip such records set on_bad_data = \"skip\"",
        reject.where.shard, reject.where.line, reject.where.record, reject.where.byte, name_of(reject.cause),
        reject.reason, corpus_.corpus.name));
  ++account_.records.rejected[static_cast<std::size_t>(reject.cause)];
  reject.where.shard = corpus_.shards[shard];
  Json line{{"corpus", corpus_.corpus.name}};
  line.update(Json::parse(to_json(reject)));
  folder_.append(kRejects, line.dump() + "\n");
}

void CorpusExport::count(const EncodedItem& item, bool is_record) {
  if (!is_record) return;
  ++account_.records.read;
  account_.records.held_out += item.kind == EncodedItem::Kind::held_out;
  account_.records.filtered += item.kind == EncodedItem::Kind::filtered;
  account_.rejected_records += item.kind == EncodedItem::Kind::rejected;
  if (account_.records.read >= kRecordsBeforeJudging) judge();
}

void CorpusExport::judge() const {
  const std::uint64_t rejected = account_.records.rejected_total();
  const auto read = static_cast<double>(std::max<std::uint64_t>(account_.records.read, 1));
  if (static_cast<double>(rejected) <= config_.max_bad_fraction * read) return;
  throw DataError(
      fmt::format("corpus \"{}\": {} of {} records were rejected, more than max_bad_fraction = {} allows; "
                  "mend the shards or raise [data] max_bad_fraction",
                  corpus_.corpus.name, rejected, account_.records.read, config_.max_bad_fraction));
}

}  // namespace millrace
