#include "pipeline/stream/document_search.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "pipeline/corpora/corpus_reader.h"

namespace millrace {
namespace {

/// Blocks are read in this order: epoch, shard's turn, first record.
using BlockKey = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;

/// Where a corpus stands before a row.
struct Stand {
  std::uint64_t row = 0;
  BlockKey block{0, 0, 0};
  std::uint64_t raw_tokens = 0;
};

Stand stand_at(const Position& position, const std::string& corpus) {
  const auto place = std::ranges::find(position.corpora, corpus, &CorpusPosition::corpus);
  if (place == position.corpora.end()) return {position.row};  // It had not been begun.
  return {position.row, {place->epoch, place->shard_turn, place->block}, place->raw_tokens};
}

/// The shard's turn in each epoch.
class Turns {
 public:
  Turns(const RunCorpus& corpus, std::uint32_t shard, std::uint64_t seed)
      : corpus_(corpus), shard_(shard), seed_(seed) {}

  std::uint64_t operator()(std::uint64_t epoch) {
    const auto [known, is_new] = turns_.try_emplace(epoch, 0);
    if (is_new) {
      const std::vector<std::uint32_t> order = shard_order(seed_, corpus_, epoch);
      known->second = static_cast<std::uint64_t>(std::ranges::find(order, shard_) - order.begin());
    }
    return known->second;
  }

 private:
  const RunCorpus& corpus_;
  std::uint32_t shard_;
  std::uint64_t seed_;
  std::map<std::uint64_t, std::uint64_t> turns_;
};

}  // namespace

std::vector<RowRange> rows_that_may_hold(const RunCorpus& corpus, std::uint32_t shard, std::uint64_t record,
                                         std::uint64_t seed, const std::vector<Position>& recorded, std::uint64_t end) {
  Turns turn_of(corpus, shard, seed);
  std::vector<Stand> stands(1);  // The stream's beginning, then the recorded positions.
  for (const Position& position : recorded) {
    if (position.row < end) stands.push_back(stand_at(position, corpus.corpus.name));
  }

  // The last block known to begin at or before the record, per epoch: the document's block begins there or later.
  std::map<std::uint64_t, std::uint64_t> block_of_epoch;
  for (const Stand& stand : stands) {
    const auto [epoch, turn, block] = stand.block;
    if (turn == turn_of(epoch) && block <= record) block_of_epoch[epoch] = std::max(block_of_epoch[epoch], block);
  }
  const auto may_hold = [&](const Stand& from, const Stand& to) {
    if (from.raw_tokens == to.raw_tokens) return false;
    for (std::uint64_t epoch = std::get<0>(from.block); epoch <= std::get<0>(to.block); ++epoch) {
      const std::uint64_t turn = turn_of(epoch);
      const auto known = block_of_epoch.find(epoch);
      const BlockKey earliest{epoch, turn, known == block_of_epoch.end() ? 0 : known->second};
      if (from.block <= BlockKey{epoch, turn, record} && to.block >= earliest) return true;
    }
    return false;
  };

  std::vector<RowRange> ranges;
  for (std::size_t i = 0; i < stands.size(); ++i) {
    const bool last = i + 1 == stands.size();  // What comes behind the last position is not known.
    if (!last && !may_hold(stands[i], stands[i + 1])) continue;
    const std::uint64_t to = last ? end : stands[i + 1].row;
    if (!ranges.empty() && ranges.back().to == stands[i].row) {
      ranges.back().to = to;
    } else if (stands[i].row < to) {
      ranges.push_back({i == 0 ? std::nullopt : std::optional(recorded[i - 1]), stands[i].row, to});
    }
  }
  return ranges;
}

}  // namespace millrace
