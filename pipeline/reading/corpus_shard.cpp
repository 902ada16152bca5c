#include "pipeline/reading/corpus_shard.h"

#include <algorithm>
#include <variant>

#include "pipeline/corpora/loss_judge.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

bool has_ids(const RecordLayout& layout) {
  return std::ranges::any_of(layout.fields, [](const auto& field) { return field.first == "id"; });
}

}  // namespace

CorpusShard::CorpusShard(const StreamConfig& config, const RunCorpus& corpus, const ScanCursor& from, WithIds with_ids)
    : corpus_(corpus), shard_(from.shard), is_readable_(from.is_readable) {
  const std::string& shard = corpus.shards[shard_];
  const std::string path = shard_path(config, shard);
  ReadOptions options = reader_options(config, corpus.corpus, path);
  if (with_ids == WithIds::yes && has_ids(options.layout)) options.fields = {"id"};
  reader_ = open_shard(path, options, from.record, from.seek);
  layout_ = options.layout;
  is_allowed_ = millrace::may_be_unreadable(config, shard);
}

CorpusShard::Step CorpusShard::next(Record& record) {
  const std::uint64_t before = reader_->next_record();
  if (!reader_->next(record)) return Step::end;
  auto* reject = std::get_if<Reject>(&record);
  if (reject == nullptr || !says_unreadable(reject->cause, layout_)) {
    is_readable_ = true;
  } else if (!unreadable_) {
    unreadable_ = *reject;
  }
  if (reject == nullptr) return Step::record;
  if (is_allowed_) reject->loss = {0, 0};
  return reader_->next_record() > before ? Step::record : Step::damage;
}

ScanCursor CorpusShard::place() const {
  return {shard_, reader_->next_record(), reader_->seek_point(), is_readable_};
}

std::optional<std::string> CorpusShard::failure() const {
  if (!unreadable_ || is_readable_ || is_allowed_) return std::nullopt;
  return unreadable_shard(corpus_.corpus.name, corpus_.shards[shard_], *unreadable_);
}

}  // namespace millrace
