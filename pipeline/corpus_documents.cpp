#include "pipeline/corpus_documents.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace millrace {
namespace {

// A batch ends behind the record that reaches one of them.
constexpr std::size_t kBatchRecords = 256;
constexpr std::uint64_t kBatchBytes = 1 << 20;

bool has_ids(const RecordLayout& layout) {
  return std::ranges::any_of(layout.fields, [](const auto& field) { return field.first == "id"; });
}

}  // namespace

CorpusDocuments::CorpusDocuments(const StreamConfig& config, const RunCorpus& corpus, DocumentPlace start,
                                 bool with_ids)
    : config_(config), corpus_(corpus), place_(start), with_ids_(with_ids) {
  for (const std::string& shard : corpus.shards) {
    std::error_code unreadable;
    const std::uintmax_t size = std::filesystem::file_size(shard_path(config, shard), unreadable);
    file_bytes_.push_back(unreadable ? 0 : size);
    bytes_ += file_bytes_.back();
    if (file_bytes_.size() <= place_.shard) bytes_before_ += file_bytes_.back();
  }
}

bool CorpusDocuments::open_shard_in_turn() {
  if (place_.shard >= corpus_.shards.size()) return false;
  const std::string path = shard_path(config_, corpus_.shards[place_.shard]);
  ReadOptions options = reader_options(config_, corpus_.corpus, path);
  if (with_ids_ && has_ids(options.layout)) options.fields = {"id"};
  shard_ = open_shard(path, options, place_.record, place_.seek);
  return true;
}

bool CorpusDocuments::next(RecordBatch& batch) {
  if (shard_ == nullptr && !open_shard_in_turn()) return false;
  batch.entries.clear();
  batch.shard = place_.shard;
  std::size_t records = 0;
  std::uint64_t text_bytes = 0;
  // Damage behind the last record is met again from the place behind it: a batch never ends in damage but with its
  // shard.
  while (records < kBatchRecords && text_bytes < kBatchBytes) {
    const std::uint64_t before = shard_->next_record();
    Record record;
    if (!shard_->next(record)) {
      shard_.reset();
      break;
    }
    const bool counts = !std::holds_alternative<Reject>(record) || shard_->next_record() > before;
    records += counts ? 1 : 0;
    if (const auto* document = std::get_if<Document>(&record)) text_bytes += document->text.size();
    batch.entries.push_back({std::move(record), counts});
  }
  const std::uint64_t size = file_bytes_[place_.shard];
  if (shard_ == nullptr) {
    bytes_before_ += size;
    place_ = {place_.shard + 1, 0, {}};
    batch.bytes_behind = bytes_before_;
  } else {
    place_ = {place_.shard, shard_->next_record(), shard_->seek_point()};
    batch.bytes_behind = bytes_before_ + static_cast<std::uint64_t>(shard_->share_read() * static_cast<double>(size));
  }
  batch.after = place_;
  return true;
}

}  // namespace millrace
