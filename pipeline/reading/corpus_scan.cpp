#include "pipeline/reading/corpus_scan.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "stages/errors.h"

namespace millrace {

CorpusScan::CorpusScan(const StreamConfig& config, const RunCorpus& corpus, const ScanCursor& start,
                       CorpusShard::WithIds with_ids)
    : config_(config), corpus_(corpus), place_(start), with_ids_(with_ids) {
  for (const std::string& shard : corpus.shards) {
    std::error_code unreadable;
    const std::uintmax_t size = std::filesystem::file_size(shard_path(config, shard), unreadable);
    if (file_bytes_.size() < place_.shard) bytes_before_ += unreadable ? 0 : size;
    file_bytes_.push_back(unreadable ? 0 : size);
    bytes_ += file_bytes_.back();
  }
}

bool CorpusScan::next(ReadRecord& item) {
  item = ReadRecord{};
  if (ended_) return false;
  while (place_.shard < corpus_.shards.size()) {
    item.place.shard = static_cast<std::uint32_t>(place_.shard);
    if (!shard_) shard_.emplace(config_, corpus_, place_, with_ids_);
    Record record;
    switch (shard_->next(record)) {
      case CorpusShard::Step::damage:
        item.container_rejects.push_back(std::get<Reject>(std::move(record)));
        break;
      case CorpusShard::Step::record:
        item.record = std::move(record);
        item.after = place();
        return true;
      case CorpusShard::Step::end:
        end_shard();
        if (item.container_rejects.empty()) break;
        item.kind = ReadRecord::Kind::shard_end;
        item.after = place_;
        return true;
    }
  }
  ended_ = true;
  item.kind = ReadRecord::Kind::corpus_end;
  item.after = place_;
  return true;
}

/// Throws DataError if the job ends with it.
void CorpusScan::end_shard() {
  const std::optional<std::string> failure = shard_->failure();
  shard_.reset();
  bytes_before_ += file_bytes_[place_.shard];
  place_ = {place_.shard + 1, 0, {}, false, bytes_before_};
  if (failure) throw DataError(*failure);
}

ScanCursor CorpusScan::place() const {
  ScanCursor place = shard_->place();
  const auto size = static_cast<double>(file_bytes_[place_.shard]);
  place.bytes_behind = bytes_before_ + static_cast<std::uint64_t>(shard_->share_read() * size);
  return place;
}

}  // namespace millrace
