#include "pipeline/rows/row_names.h"

#include "pipeline/json_text.h"

namespace millrace {

RowNames row_names(const StreamConfig& config, const std::vector<RunCorpus>& corpora) {
  RowNames names;
  for (const RunCorpus& corpus : corpora) {
    names.corpora.push_back(corpus.corpus.name);
    names.shards.push_back(corpus.shards);
  }
  for (const Phase& phase : config.phases) {
    std::vector<std::string>& denoisers = names.denoisers.emplace_back();
    for (const Denoiser& denoiser : phase.objective.denoisers) denoisers.push_back(denoiser.name);
  }
  return names;
}

Json named_examples(const StreamRow& row, const RowNames& names) {
  Json examples = Json::array();
  for (const ExampleOrigin& origin : row.examples) {
    Json documents = Json::array();
    for (const DocumentSpan& span : origin.documents)
      documents.push_back({{"shard", names.shards.at(origin.corpus).at(span.shard)},
                           {"record", span.record},
                           {"epoch", span.epoch},
                           {"from", span.from},
                           {"to", span.to}});
    examples.push_back({{"example", origin.example},
                        {"phase", origin.phase},
                        {"corpus", names.corpora.at(origin.corpus)},
                        {"denoiser", names.denoisers.at(origin.phase).at(origin.denoiser)},
                        {"documents", documents},
                        {"raw_tokens", origin.raw_tokens},
                        {"loss_tokens", origin.loss_tokens},
                        {"trimmed_tokens", origin.trimmed_tokens},
                        {"first", origin.first},
                        {"inputs", origin.inputs},
                        {"targets", origin.targets}});
  }
  return examples;
}

Json named_ledger(const Ledger& ledger, const RowNames& names) {
  Json entries = Json::array();
  for (const auto& [key, entry] : ledger.entries())
    entries.push_back({{"phase", key.phase},
                       {"corpus", names.corpora.at(key.corpus)},
                       {"denoiser", names.denoisers.at(key.phase).at(key.denoiser)},
                       {"documents", entry.documents},
                       {"examples", entry.examples},
                       {"raw_tokens", entry.raw_tokens},
                       {"loss_tokens", entry.loss_tokens},
                       {"trimmed_tokens", entry.trimmed_tokens}});
  return {{"rows", ledger.rows()},
          {"positions", ledger.positions()},
          {"raw_tokens", ledger.raw_tokens()},
          {"loss_tokens", ledger.loss_tokens()},
          {"trimmed_tokens", ledger.trimmed_tokens()},
          {"entries", entries}};
}

}  // namespace millrace
