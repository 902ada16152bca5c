#include "pipeline/reading/lane_reader.h"

#include <algorithm>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/philox.h"

namespace millrace {

LaneReader::LaneReader(Lane lane, const LaneCursor& start, bool begun, PositionSource source)
    : lane_(std::move(lane)), next_turn_(start.turn), begun_(begun), source_(std::move(source)) {
  for (std::size_t turn = 0; turn < lane_.shards.size(); ++turn) {
    const std::uint64_t shard = lane_.plan.shard_bytes[lane_.shards[turn]];
    bytes_ += shard;
    if (turn < start.turn) bytes_before_ += shard;
  }
  if (start != LaneCursor{} || begun) start_ = start;
}

bool LaneReader::has_next() {
  go_to_start();
  while (at_.index == block_.size()) {
    if (failure_) throw DataError(*std::exchange(failure_, std::nullopt));
    if (!shard_ && !open_shard_in_turn()) return false;
    read_block();
  }
  return true;
}

Record LaneReader::take(ReadCursor& place) {
  place = {lane_.epoch, lane_.number, lane_.shards[at_.turn], at_};
  return std::move(block_[order_[at_.index++]]);
}

std::vector<Reject> LaneReader::take_damage() {
  return std::exchange(damage_, {});
}

std::uint64_t LaneReader::bytes_read() {
  go_to_start();
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t in_block =
      block_.empty()
          ? 0
          : static_cast<std::uint64_t>(static_cast<Wide>(block_end_ - block_begin_) * at_.index / block_.size());
  return bytes_before_ + block_begin_ + in_block;
}

LaneCursor LaneReader::end() const {
  LaneCursor end;
  end.turn = lane_.shards.size();
  return end;
}

bool LaneReader::open_shard_in_turn() {
  if (next_turn_ >= lane_.shards.size()) return false;
  const std::uint32_t shard = lane_.shards[next_turn_];
  ScanCursor from;
  from.shard = shard;
  if (start_) from = {shard, start_->block, start_->seek, start_->block > 0 && !start_->is_bad_so_far};
  if (!start_ && next_turn_ > 0) bytes_before_ += lane_.plan.shard_bytes[lane_.shards[next_turn_ - 1]];
  block_begin_ = block_end_ = 0;
  at_.turn = next_turn_++;
  shard_.emplace(lane_.config, lane_.corpus, from);
  return true;
}

/// The block of the start, unless that is the lane's beginning or its end.
void LaneReader::go_to_start() {
  if (!start_) return;
  if (open_shard_in_turn()) {
    read_block();
    at_.index = start_->index;
    const std::uint64_t least = start_->index + (begun_ ? 1 : 0);
    if (block_.size() < std::max<std::uint64_t>(least, start_->block > 0 ? 1 : 0))
      throw DataError(source_.told(fmt::format(
          "block is {}, of which {} records were begun, but {} has {} there: the position is damaged, or the "
          "shard has changed",
          start_->block, least, lane_.corpus.shards[lane_.shards[at_.turn]], block_.size())));
  }
  start_.reset();
}

/// A shard without any record left gives an empty block.
void LaneReader::read_block() {
  block_.clear();
  const ScanCursor begin = shard_->place();
  at_.block = begin.record;
  at_.seek = begin.seek;
  at_.index = 0;
  at_.is_bad_so_far = begin.record > 0 && !begin.is_readable;
  const std::uint64_t file = lane_.plan.shard_bytes[lane_.shards[at_.turn]];
  block_begin_ = shard_->file_bytes_read();
  // Damage in the block of the start was told before, if anything of that block was consumed.
  const bool tell_damage = !start_ || (start_->index == 0 && !begun_);
  std::uint64_t text_bytes = 0;
  Record record;
  block_end_ = std::max(file, block_begin_);
  for (;;) {
    if (block_.size() >= lane_.config.shuffle_block || text_bytes >= lane_.config.shuffle_bytes) {
      block_end_ = std::max(shard_->file_bytes_read(), block_begin_);
      break;
    }
    const CorpusShard::Step step = shard_->next(record);
    if (step == CorpusShard::Step::end) {
      failure_ = shard_->failure();
      shard_.reset();
      break;
    }
    if (step == CorpusShard::Step::damage) {
      if (tell_damage) damage_.push_back(std::get<Reject>(std::move(record)));
      continue;
    }
    if (const auto* document = std::get_if<Document>(&record)) text_bytes += document->text.size();
    block_.push_back(std::move(record));
  }
  const std::uint32_t shard = lane_.shards[at_.turn];
  ItemRng rng(lane_.config.seed, Purpose::block_order, item_of({lane_.corpus.id, lane_.epoch, shard, at_.block}));
  order_ = rng.permutation(static_cast<std::uint32_t>(block_.size()));
}

}  // namespace millrace
