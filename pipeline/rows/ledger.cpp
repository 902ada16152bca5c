#include "pipeline/rows/ledger.h"

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

void Ledger::add(const StreamRow& row) {
  ++rows_;
  positions_ += row.row.tokens.size();
  for (const ExampleOrigin& origin : row.examples) {
    Entry& entry = entries_[{origin.phase, origin.corpus, origin.denoiser}];
    entry.documents += origin.documents_begun;
    entry.raw_tokens += origin.raw_tokens;
    entry.loss_tokens += origin.loss_tokens;
    entry.trimmed_tokens += origin.trimmed_tokens;
    ++entry.examples;
  }
}

std::uint64_t Ledger::raw_tokens() const {
  std::uint64_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.raw_tokens;
  return sum;
}

std::uint64_t Ledger::loss_tokens() const {
  std::uint64_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.loss_tokens;
  return sum;
}

std::uint64_t Ledger::trimmed_tokens() const {
  std::uint64_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.trimmed_tokens;
  return sum;
}

void to_json(Json& json, const Ledger& ledger) {
  Json entries = Json::array();
  for (const auto& [key, entry] : ledger.entries_)
    entries.push_back({{"phase", key.phase},
                       {"corpus", key.corpus},
                       {"denoiser", key.denoiser},
                       {"documents", entry.documents},
                       {"examples", entry.examples},
                       {"raw_tokens", entry.raw_tokens},
                       {"loss_tokens", entry.loss_tokens},
                       {"trimmed_tokens", entry.trimmed_tokens}});
  json = {{"rows", ledger.rows_}, {"positions", ledger.positions_}, {"entries", entries}};
}

void from_json(const JsonValue& json, Ledger& ledger) {
  ledger.rows_ = json.get<std::uint64_t>("rows");
  ledger.positions_ = json.get<std::uint64_t>("positions");
  for (const JsonValue& entry : json.at("entries").elements()) {
    const Ledger::Key key{entry.get<std::uint32_t>("phase"), entry.get<std::uint32_t>("corpus"),
                          entry.get<std::uint32_t>("denoiser")};
    const Ledger::Entry counts{entry.get<std::uint64_t>("documents"), entry.get<std::uint64_t>("examples"),
                               entry.get<std::uint64_t>("raw_tokens"), entry.get<std::uint64_t>("loss_tokens"),
                               entry.get<std::uint64_t>("trimmed_tokens", 0)};
    if (!ledger.entries_.emplace(key, counts).second) entry.fail("stands there twice, expected once");
  }
}

}  // namespace millrace
