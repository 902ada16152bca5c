#include "pipeline/export_account.h"

#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/manifest.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<std::uint64_t>& number) {
  return number ? Json(*number) : Json(nullptr);
}
std::optional<std::uint64_t> number_or_none(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<std::uint64_t>());
}

}  // namespace

Json json_of(const CorpusAccount& account) {
  Json causes = Json::object();
  for (int cause = 0; cause < kRejectCauses; ++cause)
    if (const std::uint64_t count = account.records.rejected[static_cast<std::size_t>(cause)]; count > 0)
      causes[name_of(static_cast<RejectCause>(cause))] = count;
  return {{"corpus", account.corpus},
          {"records", account.records.read},
          {"documents", account.documents},
          {"held_out", account.records.held_out},
          {"filtered", account.records.filtered},
          {"skipped", account.records.skipped},
          {"rejected", account.records.rejected_records},
          {"tail", account.tail_documents},
          {"not_reached", or_null(account.not_reached)},
          {"rejects_by_cause", causes},
          {"content_bytes", account.records.bytes},
          {"lost_records", account.records.lost.records},
          {"lost_content", account.records.lost.bytes},
          {"raw_tokens", account.raw_tokens},
          {"tail_tokens", account.tail_tokens},
          {"raw_tokens_asked", or_null(account.budget)}};
}

CorpusAccount account_of(const Json& json) {
  CorpusAccount account;
  account.corpus = json.at("corpus");
  account.records.read = json.at("records");
  account.documents = json.at("documents");
  account.records.held_out = json.at("held_out");
  account.records.filtered = json.at("filtered");
  account.records.skipped = json.at("skipped");
  account.records.rejected_records = json.at("rejected");
  account.records.bytes = json.value("content_bytes", std::uint64_t{0});
  account.records.lost = {json.value("lost_records", std::uint64_t{0}), json.value("lost_content", std::uint64_t{0})};
  account.tail_documents = json.at("tail");
  account.not_reached = number_or_none(json.at("not_reached"));
  for (int cause = 0; cause < kRejectCauses; ++cause)
    account.records.rejected[static_cast<std::size_t>(cause)] =
        json.at("rejects_by_cause").value(name_of(static_cast<RejectCause>(cause)), std::uint64_t{0});
  account.raw_tokens = json.at("raw_tokens");
  account.tail_tokens = json.at("tail_tokens");
  account.budget = number_or_none(json.at("raw_tokens_asked"));
  return account;
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

std::optional<std::uint64_t> records_in(const StreamConfig& config, const RunCorpus& corpus) {
  const std::optional<Manifest> manifest = manifest_of(config.data_directory);
  if (!manifest) return std::nullopt;
  std::uint64_t records = 0;
  for (const std::string& shard : corpus.shards) {
    const std::string path = shard_path(config, shard);
    const ShardEntry* entry = find_entry(*manifest, path);
    if (entry == nullptr || !is_current(*entry, path)) return std::nullopt;
    records += entry->records;
    for (int cause = 0; cause <= static_cast<int>(RejectCause::too_long); ++cause) {
      const auto found = entry->rejects.find(name_of(static_cast<RejectCause>(cause)));
      if (found != entry->rejects.end()) records += found->second;
    }
  }
  return records;
}

}  // namespace millrace
