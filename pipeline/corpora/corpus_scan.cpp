#include "pipeline/corpora/corpus_scan.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "pipeline/corpora/loss_judge.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

// A batch ends behind the record that reaches one of them.
constexpr std::size_t kBatchRecords = 256;
constexpr std::uint64_t kBatchBytes = 1 << 20;

bool has_ids(const RecordLayout& layout) {
  return std::ranges::any_of(layout.fields, [](const auto& field) { return field.first == "id"; });
}

}  // namespace

CorpusScan::CorpusScan(const StreamConfig& config, const RunCorpus& corpus, ScanCursor start, bool with_ids)
    : config_(config), corpus_(corpus), place_(start), with_ids_(with_ids) {
  for (const std::string& shard : corpus.shards) {
    std::error_code unreadable;
    const std::uintmax_t size = std::filesystem::file_size(shard_path(config, shard), unreadable);
    file_bytes_.push_back(unreadable ? 0 : size);
    bytes_ += file_bytes_.back();
    if (file_bytes_.size() <= place_.shard) bytes_before_ += file_bytes_.back();
  }
}

bool CorpusScan::open_shard_in_turn() {
  if (place_.shard >= corpus_.shards.size()) return false;
  const std::string path = shard_path(config_, corpus_.shards[place_.shard]);
  ReadOptions options = reader_options(config_, corpus_.corpus, path);
  if (with_ids_ && has_ids(options.layout)) options.fields = {"id"};
  shard_ = open_shard(path, options, place_.record, place_.seek);
  layout_ = options.layout;
  is_allowed_ = may_be_unreadable(config_, corpus_.shards[place_.shard]);
  unreadable_.reset();
  return true;
}

/// Keeps account of what could be read of the shard. Rejects of one that may be unreadable stand for nothing.
void CorpusScan::note(Record& record) {
  auto* reject = std::get_if<Reject>(&record);
  if (reject == nullptr || !says_unreadable(reject->cause, layout_)) {
    place_.is_readable = true;
  } else if (!unreadable_) {
    unreadable_ = *reject;
  }
  if (reject != nullptr && is_allowed_) reject->loss = {0, 0};
}

bool CorpusScan::next(RecordBatch& batch) {
  if (shard_ == nullptr && !open_shard_in_turn()) return false;
  batch.entries.clear();
  batch.shard = place_.shard;
  batch.failure.clear();
  std::size_t records = 0;
  std::uint64_t text_bytes = 0;
  // Damage behind the last record is met again from the place behind it: a batch never ends in damage but with its
  // shard.
  while (records < kBatchRecords && text_bytes < kBatchBytes) {
    const std::uint64_t before = shard_->next_record();
    Record record;
    if (!shard_->next(record)) {
      shard_.reset();
      if (unreadable_ && !place_.is_readable && !is_allowed_)
        batch.failure = unreadable_shard(corpus_.corpus.name, corpus_.shards[place_.shard], *unreadable_);
      break;
    }
    note(record);
    const bool counts = !std::holds_alternative<Reject>(record) || shard_->next_record() > before;
    records += counts ? 1 : 0;
    if (const auto* document = std::get_if<Document>(&record)) text_bytes += document->text.size();
    batch.entries.push_back({std::move(record), counts});
  }
  const std::uint64_t size = file_bytes_[place_.shard];
  if (shard_ == nullptr) {
    bytes_before_ += size;
    place_ = {place_.shard + 1, 0, {}, false};
    batch.bytes_behind = bytes_before_;
  } else {
    place_ = {place_.shard, shard_->next_record(), shard_->seek_point(), place_.is_readable};
    batch.bytes_behind = bytes_before_ + static_cast<std::uint64_t>(shard_->share_read() * static_cast<double>(size));
  }
  batch.after = place_;
  return true;
}

}  // namespace millrace
