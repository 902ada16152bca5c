#include "pipeline/export/corpus_export.h"

#include <exception>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

CorpusExport::CorpusExport(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
                           const DocumentExport& what, StagedFolder& folder, RejectsFile& rejects,
                           CorpusAccount& account)
    : config_(config),
      corpus_(corpus),
      rejects_(rejects),
      account_(account),
      eos_(vocabulary.eos()),
      records_(config, corpus.corpus.name, account.records) {
  rejects_.begin(corpus.corpus.name, account.records.rejected);
  DocumentFiles files;
  files.corpus = corpus.corpus.name;
  files.id_type = what.format->id_type(static_cast<std::uint64_t>(vocabulary.size()));
  files.tokenizer = what.tokenizer;
  files.part_bytes = what.part_bytes;
  writer_ = what.format->writer(folder, files);
}

void CorpusExport::write(EncodedRecord item) {
  if (const auto refusal = records_.refusal(item)) throw DataError(*refusal);
  for (const Reject& reject : item.rejects)
    rejects_.add_of_shard(corpus_.corpus.name, corpus_.shards[item.place.shard], reject);
  account_.records += records_.add(item);
  if (const auto verdict = records_.verdict(item)) throw DataError(*verdict);
  if (item.failure != nullptr) std::rethrow_exception(item.failure);
  if (item.kind != EncodedRecord::Kind::document) return;
  ++account_.documents;
  account_.raw_tokens += item.tokens.size();
  TokenDocument document{std::move(item.tokens), item.fields.empty() ? std::string() : std::move(item.fields.front()),
                         std::move(item.where)};
  document.tokens.push_back(eos_);
  document.where.shard = corpus_.shards[item.place.shard];
  writer_->add(document);
}

void CorpusExport::finish() {
  if (!is_full() && account_.documents == 0)
    throw DataError(
        fmt::format("corpus \"{}\": none of its {} records ({} rejected, {} filtered, {} held out) gives a "
                    "document; check its shards, layout, text_field, keep, drop and where",
                    corpus_.corpus.name, account_.records.read, account_.records.rejected_records,
                    account_.records.filtered, account_.records.held_out));
  account_.not_reached = is_full() ? records_not_reached(config_, corpus_, account_.records.read) : 0;
  check_account(account_);
  writer_->finish();
}

}  // namespace millrace
