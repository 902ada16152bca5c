#include "pipeline/stream/document_search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "pipeline/corpora/is_held_out.h"
#include "pipeline/keys/did_you_mean.h"
#include "pipeline/reading/corpus_shard.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

/// A place in a lane: which of its shards, and which record of that.
using LanePlace = std::pair<std::uint64_t, std::uint64_t>;

/// Where a corpus stands before a row: all that was read before its place, and more if a window is begun, was given.
struct Stand {
  std::uint64_t row = 0;
  std::uint64_t epoch = 0;
  std::vector<LaneCursor> lanes;
  std::uint64_t raw_tokens = 0;
  bool in_window = false;

  bool has_place_of(const Stand& other) const { return epoch == other.epoch && lanes == other.lanes; }
  /// The block of a lane in an epoch that is read next.
  LanePlace block_of(std::size_t lane, std::uint64_t of_epoch) const {
    if (of_epoch < epoch) return {std::numeric_limits<std::uint64_t>::max(), 0};
    if (of_epoch > epoch || lane >= lanes.size()) return {0, 0};
    return {lanes[lane].turn, lanes[lane].block};
  }
};

Stand stand_at(const StreamPosition& position, const std::string& corpus) {
  const auto place = std::ranges::find(position.corpora, corpus, &CorpusPosition::corpus);
  if (place == position.corpora.end()) return {position.row, 0, {}, 0, false};  // It had not been begun.
  return {position.row, place->place.epoch, place->place.lanes, place->raw_tokens, !place->windows.empty()};
}

/// The lane that a shard stands in, and its turn there.
struct ShardTurn {
  std::size_t lane = 0;
  std::uint64_t turn = 0;
};

class ShardTurns {
 public:
  ShardTurns(const ReadingPlan& plan, std::uint64_t corpus_id, std::uint32_t shard, std::uint64_t seed)
      : plan_(plan), corpus_id_(corpus_id), shard_(shard), seed_(seed) {}

  ShardTurn in(std::uint64_t epoch) {
    const auto [known, is_new] = turns_.try_emplace(epoch);
    if (is_new) {
      const std::vector<std::vector<std::uint32_t>> lanes = lanes_of_epoch(plan_, seed_, corpus_id_, epoch);
      for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
        const auto turn = std::ranges::find(lanes[lane], shard_);
        if (turn != lanes[lane].end()) known->second = {lane, static_cast<std::uint64_t>(turn - lanes[lane].begin())};
      }
    }
    return known->second;
  }

 private:
  const ReadingPlan& plan_;
  std::uint64_t corpus_id_;
  std::uint32_t shard_;
  std::uint64_t seed_;
  std::map<std::uint64_t, ShardTurn> turns_;
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
        rows_that_may_hold(corpus, reading_plans(rows_.config, rows_.corpora)[corpus_], shard_, record_,
                           rows_.config.seed, rows_.recorded, rows_.end);
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

std::vector<RowRange> rows_that_may_hold(const RunCorpus& corpus, const ReadingPlan& plan, std::uint32_t shard,
                                         std::uint64_t record, std::uint64_t seed,
                                         const std::vector<StreamPosition>& recorded, std::uint64_t end) {
  ShardTurns turns(plan, corpus.id, shard, seed);
  std::vector<Stand> stands(1);  // The stream's beginning, then the recorded positions.
  for (const StreamPosition& position : recorded) {
    if (position.row < end) stands.push_back(stand_at(position, corpus.corpus.name));
  }

  // The last block known to begin at or before the record, per epoch: the document's block begins there or later.
  std::map<std::uint64_t, std::uint64_t> block_of_epoch;
  for (const Stand& stand : stands) {
    const ShardTurn of_shard = turns.in(stand.epoch);
    const auto [turn, block] = stand.block_of(of_shard.lane, stand.epoch);
    if (turn == of_shard.turn && block <= record)
      block_of_epoch[stand.epoch] = std::max(block_of_epoch[stand.epoch], block);
  }
  // Between two stands come documents that were read from the place of the first up to the end of the window that the
  // second is in: if its next stand has the same place, that is still the same window.
  const auto end_of_window = [&](std::size_t i) {
    const std::size_t place = i;
    while (i < stands.size() && stands[i].in_window && stands[i].has_place_of(stands[place])) ++i;
    return i;
  };
  const auto may_hold = [&](std::size_t i) {
    const Stand& from = stands[i];
    if (from.raw_tokens == stands[i + 1].raw_tokens) return false;
    const std::size_t behind = end_of_window(i + 1);
    if (behind == stands.size()) return true;
    const Stand& to = stands[behind];
    for (std::uint64_t epoch = from.epoch; epoch <= to.epoch; ++epoch) {
      const auto [lane, turn] = turns.in(epoch);
      const auto known = block_of_epoch.find(epoch);
      const LanePlace earliest{turn, known == block_of_epoch.end() ? 0 : known->second};
      if (from.block_of(lane, epoch) <= LanePlace{turn, record} && to.block_of(lane, epoch) >= earliest) return true;
    }
    return false;
  };

  std::vector<RowRange> ranges;
  for (std::size_t i = 0; i < stands.size(); ++i) {
    const bool last = i + 1 == stands.size();  // What comes behind the last position is not known.
    if (!last && !may_hold(i)) continue;
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
