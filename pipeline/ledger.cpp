#include "pipeline/ledger.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/data_pipeline.h"
#include "stages/errors.h"

namespace millrace {

using Json = nlohmann::ordered_json;

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

std::string Ledger::to_json() const {
  Json entries = Json::array();
  for (const auto& [key, entry] : entries_)
    entries.push_back({{"phase", key.phase},
                       {"corpus", key.corpus},
                       {"denoiser", key.denoiser},
                       {"documents", entry.documents},
                       {"examples", entry.examples},
                       {"raw_tokens", entry.raw_tokens},
                       {"loss_tokens", entry.loss_tokens},
                       {"trimmed_tokens", entry.trimmed_tokens}});
  return Json{{"rows", rows_}, {"positions", positions_}, {"entries", entries}}.dump();
}

Ledger Ledger::from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Ledger ledger;
    ledger.rows_ = json.at("rows");
    ledger.positions_ = json.at("positions");
    for (const Json& entry : json.at("entries"))
      ledger.entries_[{entry.at("phase"), entry.at("corpus"), entry.at("denoiser")}] = {
          entry.at("documents"), entry.at("examples"), entry.at("raw_tokens"), entry.at("loss_tokens"),
          entry.value("trimmed_tokens", std::uint64_t{0})};
    return ledger;
  } catch (const Json::exception& error) {
    throw ConfigError(fmt::format("not a ledger: {}", error.what()));
  }
}

}  // namespace millrace
