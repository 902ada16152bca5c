#include "pipeline/reading/corpus_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/philox.h"

namespace millrace {

std::vector<std::uint32_t> shard_order(std::uint64_t seed, const RunCorpus& corpus, std::uint64_t epoch) {
  ItemRng rng(seed, Purpose::shard_order, item_of({corpus.id, epoch}));
  return rng.permutation(static_cast<std::uint32_t>(corpus.shards.size()));
}

CorpusReader::CorpusReader(const StreamConfig& config, const RunCorpus& corpus, const ReadStart& start)
    : config_(config), corpus_(corpus), epochs_(static_cast<std::uint64_t>(std::ceil(corpus.corpus.max_epochs))) {
  place_.epoch = start.at.epoch;
  next_turn_ = start.at.shard_turn;
  first_record_ = start.at.block;
  from_ = start.at.seek;
  skip_ = start.at.index;
  damage_reported_ = start.at.index > 0 || start.within_document;
  // A position inside a shard is that of a document.
  is_readable_ = damage_reported_ || start.at.block > 0;
  if (is_readable_) least_ = std::max<std::uint64_t>(start.at.index + (start.within_document ? 1 : 0), 1);
  start_source_ = start.source;
  ended_ = start.ended;
  begin_epoch();
}

bool CorpusReader::next(ReadRecord& item) {
  if (ended_) return false;
  item = ReadRecord{};
  while (place_.index == block_.size()) {
    if (failure_) {
      item.container_rejects = std::exchange(container_rejects_, {});
      throw DataError(*std::exchange(failure_, std::nullopt));
    }
    if (!read_block()) break;
  }
  item.container_rejects = std::exchange(container_rejects_, {});
  item.place = place_;
  if (place_.index < block_.size()) {
    item.record = std::move(block_[block_order_[place_.index++]]);
    return true;
  }
  ++place_.epoch;
  ended_ = epochs_ > 0 && place_.epoch >= epochs_;
  item.kind = ended_ ? ReadRecord::Kind::corpus_end : ReadRecord::Kind::epoch_end;
  if (!ended_) {
    next_turn_ = 0;
    begin_epoch();
  }
  return true;
}

void CorpusReader::begin_epoch() {
  shard_order_ = shard_order(config_.seed, corpus_, place_.epoch);
  shard_.reset();
}

bool CorpusReader::begin_shard() {
  if (next_turn_ >= shard_order_.size()) return false;
  place_.shard_turn = next_turn_++;
  place_.shard = shard_order_[place_.shard_turn];
  const ScanCursor from{place_.shard, std::exchange(first_record_, 0), std::exchange(from_, {}),
                        std::exchange(is_readable_, false)};
  shard_.emplace(config_, corpus_, from);
  return true;
}

/// The next block into block_; false at the epoch's end. A shard without any record left gives an empty block.
bool CorpusReader::read_block() {
  block_.clear();
  place_.index = 0;
  if (!shard_ && !begin_shard()) return false;
  const ScanCursor begin = shard_->place();
  place_.block = begin.record;
  place_.seek = begin.seek;
  const bool report_damage = !std::exchange(damage_reported_, false);
  std::uint64_t text_bytes = 0;
  Record record;
  while (block_.size() < config_.shuffle_block && text_bytes < config_.shuffle_bytes) {
    const CorpusShard::Step step = shard_->next(record);
    if (step == CorpusShard::Step::end) {
      failure_ = shard_->failure();
      shard_.reset();
      break;
    }
    if (step == CorpusShard::Step::damage) {
      if (report_damage) container_rejects_.push_back(std::get<Reject>(std::move(record)));
      continue;
    }
    if (const auto* document = std::get_if<Document>(&record)) text_bytes += document->text.size();
    block_.push_back(std::move(record));
  }
  ItemRng rng(config_.seed, Purpose::block_order, item_of({corpus_.id, place_.epoch, place_.shard, place_.block}));
  block_order_ = rng.permutation(static_cast<std::uint32_t>(block_.size()));
  place_.index = std::exchange(skip_, 0);
  if (const std::uint64_t least = std::exchange(least_, 0); block_.size() < least)
    throw DataError(start_source_.told(
        fmt::format("block is {}, of which {} records were begun, but {} has {} there: the position is damaged, or the "
                    "shard has changed",
                    place_.block, least, corpus_.shards[place_.shard], block_.size())));
  return true;
}

}  // namespace millrace
