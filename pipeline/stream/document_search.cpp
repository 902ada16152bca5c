#include "pipeline/stream/document_search.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "pipeline/reading/corpus_reader.h"
#include "pipeline/reading/corpus_shard.h"
#include "pipeline/corpora/is_held_out.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

/// Blocks are read in this order: epoch, shard's turn, first record.
using BlockKey = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;

/// Where a corpus stands before a row.
struct BlockAtRow {
  std::uint64_t row = 0;
  BlockKey block{0, 0, 0};
  std::uint64_t raw_tokens = 0;
};

BlockAtRow stand_at(const StreamPosition& position, const std::string& corpus) {
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

/// Why a record can be in no row; empty if it can. Throws ConfigError if the shard has not so many records.
std::string why_never_read(const StreamConfig& config, const RunCorpus& corpus, std::uint32_t index,
                           std::uint64_t wanted) {
  CorpusShard shard(config, corpus, {index, wanted, {}});
  Record record;
  do {
    if (shard.place().record > wanted || shard.next(record) == CorpusShard::Step::end)
      throw ConfigError(fmt::format("--document: {} has no record {}; it ends before record {}", corpus.shards[index],
                                    wanted, shard.place().record));
    expect_readable(record);
  } while (shard.place().record <= wanted);
  if (const auto* reject = std::get_if<Reject>(&record))
    return fmt::format("rejected ({}: {})", millrace::name_of(reject->cause), reject->reason);
  if (std::holds_alternative<Filtered>(record)) return "left out by the corpus's keep, drop or where";
  return is_held_out(std::get<Document>(record).text, config.holdout) ? "held out for evaluation" : "";
}

/// Searches one corpus.
class Search {
 public:
  Search(const SearchedRows& rows, ShardOfCorpus shard, std::uint64_t record, const JobCallbacks& callbacks)
      : rows_(rows), corpus_(shard.corpus), shard_(shard.shard), record_(record), callbacks_(callbacks) {}

  std::vector<DocumentHit> hits() {
    const RunCorpus& corpus = rows_.corpora[corpus_];
    const std::vector<RowRange> ranges =
        rows_that_may_hold(corpus, shard_, record_, rows_.config.seed, rows_.recorded, rows_.end);
    for (const RowRange& range : ranges) to_make_ += range.to - range.from;
    callbacks_.notice(fmt::format("corpus {}: making {} of {} rows again", corpus.corpus.name, to_make_, rows_.end));
    for (const RowRange& range : ranges) replay(range);
    return std::move(hits_);
  }

 private:
  void replay(const RowRange& range) {
    DataPipeline::Options options;
    options.threads = rows_.threads;
    DataPipeline pipeline(rows_.config, rows_.corpora, rows_.vocabulary, range.start, options);
    while (const auto batch = pipeline.next()) {
      callbacks_.leave_if_interrupted();
      const StreamRow& row = batch->front();
      if (row.number >= range.to) break;
      callbacks_.progress("replay", ++made_, to_make_, "rows");
      take_from(row);
    }
  }

  void take_from(const StreamRow& row) {
    for (const ExampleOrigin& origin : row.examples) {
      if (origin.corpus != corpus_) continue;
      for (const DocumentSpan& span : origin.documents) {
        if (span.shard != shard_ || span.record != record_) continue;
        const Objective& objective = rows_.config.phases[origin.phase].objective;
        hits_.push_back({row.number, origin.example, span.epoch, origin.phase,
                         objective.denoisers[origin.denoiser].name, span.from, span.to});
      }
    }
  }

  const SearchedRows& rows_;
  const std::size_t corpus_;
  const std::uint32_t shard_;
  const std::uint64_t record_;
  const JobCallbacks& callbacks_;
  std::uint64_t to_make_ = 0;
  std::uint64_t made_ = 0;
  std::vector<DocumentHit> hits_;
};

}  // namespace

std::vector<RowRange> rows_that_may_hold(const RunCorpus& corpus, std::uint32_t shard, std::uint64_t record,
                                         std::uint64_t seed, const std::vector<StreamPosition>& recorded,
                                         std::uint64_t end) {
  Turns turn_of(corpus, shard, seed);
  std::vector<BlockAtRow> stands(1);  // The stream's beginning, then the recorded positions.
  for (const StreamPosition& position : recorded) {
    if (position.row < end) stands.push_back(stand_at(position, corpus.corpus.name));
  }

  // The last block known to begin at or before the record, per epoch: the document's block begins there or later.
  std::map<std::uint64_t, std::uint64_t> block_of_epoch;
  for (const BlockAtRow& stand : stands) {
    const auto [epoch, turn, block] = stand.block;
    if (turn == turn_of(epoch) && block <= record) block_of_epoch[epoch] = std::max(block_of_epoch[epoch], block);
  }
  const auto may_hold = [&](const BlockAtRow& from, const BlockAtRow& to) {
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

std::vector<ShardOfCorpus> corpora_with(const std::vector<RunCorpus>& corpora, const std::string& shard) {
  std::vector<ShardOfCorpus> found;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const std::vector<std::string>& shards = corpora[i].shards;
    const auto place = std::ranges::find(shards, shard);
    if (place != shards.end()) found.push_back({i, static_cast<std::uint32_t>(place - shards.begin())});
    all.insert(all.end(), shards.begin(), shards.end());
  }
  if (found.empty())
    throw ConfigError(fmt::format("--document: the run has no shard \"{}\"{}", shard, did_you_mean(shard, all)));
  return found;
}

FoundDocument find_document(const SearchedRows& rows, ShardOfCorpus shard, std::uint64_t record,
                            const JobCallbacks& callbacks) {
  const RunCorpus& corpus = rows.corpora[shard.corpus];
  FoundDocument found{corpus.corpus.name, corpus.shards[shard.shard], record, {}, {}};
  found.never_read_because = why_never_read(rows.config, corpus, shard.shard, record);
  if (found.never_read_because.empty() && rows.end > 0) found.hits = Search(rows, shard, record, callbacks).hits();
  return found;
}

}  // namespace millrace
