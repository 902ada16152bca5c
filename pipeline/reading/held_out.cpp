#include "pipeline/reading/held_out.h"

#include <variant>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/reading/corpus_shard.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

HeldOut gather_corpus(const StreamConfig& config, const RunCorpus& corpus, const Vocabulary& vocabulary,
                      std::uint64_t wanted) {
  HeldOut gathered;
  gathered.corpus = corpus.corpus.name;
  for (std::uint64_t i = 0; i < corpus.shards.size(); ++i) {
    CorpusShard shard(config, corpus, {i, 0, {}});
    Record record;
    while (gathered.tokens < wanted && shard.next(record) != CorpusShard::Step::end) {
      if (!shard.may_be_unreadable()) expect_readable(record);
      const auto* document = std::get_if<Document>(&record);
      if (document == nullptr || !is_held_out(document->text, config.holdout)) continue;
      std::vector<TokenId> ids = vocabulary.encode(document->text);
      const std::uint64_t room = wanted - gathered.tokens;
      if (ids.size() > room) {
        ids.resize(room);
        gathered.last_is_cut = true;
        gathered.text_bytes += vocabulary.decode(ids).size();
      } else {
        gathered.text_bytes += document->text.size();
      }
      gathered.tokens += ids.size();
      if (!ids.empty()) gathered.documents.push_back(std::move(ids));
    }
    if (gathered.tokens >= wanted) break;
  }
  return gathered;
}

}  // namespace

std::vector<HeldOut> gather_held_out(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                                     const Vocabulary& vocabulary, std::uint64_t tokens_per_corpus) {
  std::vector<HeldOut> all;
  for (const RunCorpus& corpus : corpora) all.push_back(gather_corpus(config, corpus, vocabulary, tokens_per_corpus));
  return all;
}

}  // namespace millrace
