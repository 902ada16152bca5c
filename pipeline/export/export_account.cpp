#include "pipeline/export/export_account.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "pipeline/corpora/data_manifest.h"
#include "pipeline/corpora/loss_judge.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {
void to_json(Json& json, const CorpusAccount& account) {
  json = {{"corpus", account.corpus},
          {"records", account.records.read},
          {"documents", account.documents},
          {"held_out", account.records.held_out},
          {"filtered", account.records.filtered},
          {"skipped", account.records.skipped},
          {"rejected", account.records.rejected_records},
          {"tail", account.tail_documents},
          {"not_reached", account.not_reached},
          {"rejects_by_cause", reject_counts_json(account.records.rejected)},
          {"content_bytes", account.records.bytes},
          {"lost_records", account.records.lost.records},
          {"lost_content", account.records.lost.bytes},
          {"raw_tokens", account.raw_tokens},
          {"tail_tokens", account.tail_tokens},
          {"raw_tokens_asked", account.budget}};
}

void from_json(const JsonValue& json, CorpusAccount& account) {
  account.corpus = json.get<std::string>("corpus");
  account.records.read = json.get<std::uint64_t>("records");
  account.documents = json.get<std::uint64_t>("documents");
  account.records.held_out = json.get<std::uint64_t>("held_out");
  account.records.filtered = json.get<std::uint64_t>("filtered");
  account.records.skipped = json.get<std::uint64_t>("skipped");
  account.records.rejected_records = json.get<std::uint64_t>("rejected");
  account.records.bytes = json.get<std::uint64_t>("content_bytes", 0);
  account.records.lost = {json.get<std::uint64_t>("lost_records", 0), json.get<std::uint64_t>("lost_content", 0)};
  account.tail_documents = json.get<std::uint64_t>("tail");
  account.not_reached = json.get_or_null<std::uint64_t>("not_reached");
  account.records.rejected = reject_counts_of(json.at("rejects_by_cause"));
  account.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  account.tail_tokens = json.get<std::uint64_t>("tail_tokens");
  account.budget = json.get_or_null<std::uint64_t>("raw_tokens_asked");
}

CorpusAccount account_of_rows(const CorpusPosition& position, const Ledger& ledger, std::uint32_t corpus) {
  CorpusAccount account;
  account.corpus = position.corpus;
  account.records = position.records;
  account.tail_documents = position.tail_documents;
  account.tail_tokens = position.tail_tokens;
  for (const auto& [key, entry] : ledger.entries()) {
    if (key.corpus != corpus) continue;
    account.documents += entry.documents;
    account.raw_tokens += entry.raw_tokens;
  }
  return account;
}

void check_account(const CorpusAccount& account) {
  const RecordCounts& records = account.records;
  const std::uint64_t sum = account.documents + records.held_out + records.filtered + records.skipped +
                            records.rejected_records + account.tail_documents;
  if (sum == records.read) return;
  throw std::logic_error(fmt::format(
      "the account of corpus \"{}\" does not add up: {} records were read, but {} documents, {} held out, {} filtered, "
      "{} skipped, {} rejected and {} left as tail make {}",
      account.corpus, records.read, account.documents, records.held_out, records.filtered, records.skipped,
      records.rejected_records, account.tail_documents, sum));
}

std::optional<std::uint64_t> records_not_reached(const StreamConfig& config, const RunCorpus& corpus,
                                                 std::uint64_t read) {
  const std::optional<DataManifest> manifest = manifest_of(config.data_directory);
  if (!manifest) return std::nullopt;
  std::uint64_t records = 0;
  for (const std::string& shard : corpus.shards) {
    const std::string path = shard_path(config, shard);
    const ShardEntry* entry = find_entry(*manifest, path);
    if (entry == nullptr || !is_current(*entry, path)) return std::nullopt;
    records += entry->records;
    for (const auto& [name, count] : entry->rejects) {
      const std::optional<RejectCause> cause = cause_named(name);
      if (cause && is_of_a_record(*cause)) records += count;
    }
  }
  return records - std::min(records, read);  // Some may have been read in a second epoch.
}

}  // namespace millrace
