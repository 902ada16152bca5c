#include "pipeline/reading/corpus_reader.h"

#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {
namespace {

void append(std::vector<Reject>& to, std::vector<Reject> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

CorpusReader::CorpusReader(const StreamConfig& config, const RunCorpus& corpus, const ReadingPlan& plan,
                           const ReadStart& start)
    : config_(config),
      corpus_(corpus),
      plan_(plan),
      epochs_(static_cast<std::uint64_t>(std::ceil(corpus.corpus.max_epochs))),
      epoch_(start.epoch),
      ended_(start.ended) {
  if (start.lanes.size() > plan.lanes)
    throw DataError(
        start.source.told(fmt::format("lanes is a list of {}, but the corpus is read in {}: the position is "
                                      "damaged, or shards have changed",
                                      start.lanes.size(), plan.lanes)));
  begin_epoch(start);
}

void CorpusReader::begin_epoch(const ReadStart& start) {
  std::vector<std::vector<std::uint32_t>> lanes = lanes_of_epoch(plan_, config_.seed, corpus_.id, epoch_);
  lanes_.clear();
  for (std::uint32_t lane = 0; lane < lanes.size(); ++lane) {
    const LaneCursor from = lane < start.lanes.size() ? start.lanes[lane] : LaneCursor{};
    if (from.turn > lanes[lane].size())
      throw DataError(
          start.source.told(fmt::format("lane {} is at its shard {}, but it has {}: the position is damaged, "
                                        "or shards have changed",
                                        lane, from.turn, lanes[lane].size())));
    LaneReader::Lane parts{config_, corpus_, plan_, epoch_, lane, std::move(lanes[lane])};
    lanes_.emplace_back().reader =
        std::make_unique<LaneReader>(std::move(parts), from, start.begun == lane, start.source);
  }
}

/// The lane of which the smallest part was read, ties to the first; lanes_.size() if all have ended.
std::size_t CorpusReader::least_read() {
  __extension__ using Wide = unsigned __int128;
  std::size_t least = lanes_.size();
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    OpenLane& lane = lanes_[i];
    if (lane.reader == nullptr) continue;
    if (!lane.read) lane.read = lane.reader->bytes_read();
    if (least == lanes_.size() ||
        Wide{*lane.read} * lanes_[least].reader->bytes() < Wide{*lanes_[least].read} * lane.reader->bytes())
      least = i;
  }
  return least;
}

/// Null at the epoch's end.
CorpusReader::OpenLane* CorpusReader::lane_in_turn() {
  for (;;) {
    const std::size_t least = least_read();
    if (least == lanes_.size()) return nullptr;
    OpenLane& lane = lanes_[least];
    if (lane.reader->has_next()) return &lane;
    append(damage_, lane.reader->take_damage());
    ended_lanes_.push_back({static_cast<std::uint32_t>(least), lane.reader->end()});
    lane.reader.reset();
  }
}

bool CorpusReader::next(ReadRecord& item) {
  if (ended_) return false;
  item = ReadRecord{};
  OpenLane* lane = nullptr;
  try {
    lane = lane_in_turn();
  } catch (...) {
    for (const OpenLane& one : lanes_)
      if (one.reader != nullptr) append(damage_, one.reader->take_damage());
    item.container_rejects = std::exchange(damage_, {});
    throw;
  }
  item.container_rejects = std::exchange(damage_, {});
  item.ended_lanes = std::exchange(ended_lanes_, {});
  if (lane != nullptr) {
    append(item.container_rejects, lane->reader->take_damage());
    item.record = lane->reader->take(item.place);
    lane->read.reset();
    return true;
  }
  item.place.epoch = ++epoch_;
  ended_ = epochs_ > 0 && epoch_ >= epochs_;
  item.kind = ended_ ? ReadRecord::Kind::corpus_end : ReadRecord::Kind::epoch_end;
  if (!ended_) begin_epoch({});
  return true;
}

}  // namespace millrace
