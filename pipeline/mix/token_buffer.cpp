#include "pipeline/mix/token_buffer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

TokenBuffer::TokenBuffer(std::string corpus, CorpusPosition start, const Limits& limits)
    : corpus_(std::move(corpus)),
      limits_(limits),
      start_source_(std::exchange(start.source, {})),
      position_(std::move(start)),
      account_(limits.on_bad_data, limits.max_bad_fraction, corpus_, position_.records) {
  between_documents_ = position_.offset == 0;
  mid_document_ = !between_documents_;
  epoch_has_documents_ = position_.shard_turn > 0 || position_.block > 0 || position_.index > 0 || position_.offset > 0;
  ended_ = !position_.open;
}

std::uint64_t TokenBuffer::arrive(EncodedRecord item) {
  const bool must_wait = item.kind == EncodedRecord::Kind::document && tokens_ >= limits_.full_at;
  const std::uint64_t credit = item.credit;
  enter(std::move(item));
  // Nothing more is wanted behind a failure or the corpus's end: without credits its reader rests.
  if (failure_ != nullptr || ended_) return 0;
  if (!must_wait) return credit;
  documents_.back().credit = credit;
  return 0;
}

/// Of all documents that still hold some.
std::uint64_t TokenBuffer::give_back_credit() {
  std::uint64_t credit = 0;
  for (auto document = documents_.rbegin(); document != documents_.rend() && document->credit > 0; ++document)
    credit += std::exchange(document->credit, 0);
  return credit;
}

void TokenBuffer::enter(EncodedRecord item) {
  if (failure_ != nullptr || ended_) return;
  if (const auto refusal = account_.refusal(item)) {
    failure_ = std::make_exception_ptr(DataError(*refusal));
    std::ranges::move(item.rejects, std::back_inserter(pending_rejects_));
    return;
  }
  // A restarted stream may begin inside a document: that was counted when its first token was consumed.
  const bool counted_before = std::exchange(mid_document_, false) && item.kind != EncodedRecord::Kind::failure;
  if (counted_before && !is_in_midst_of(item)) return;
  if (!counted_before) count(item);
  std::ranges::move(item.rejects, std::back_inserter(pending_rejects_));
  switch (item.kind) {
    case EncodedRecord::Kind::document:
      tokens_ += item.tokens.size() - (counted_before ? position_.offset : 0);
      epoch_has_documents_ = true;
      documents_.push_back({item.place, item.where.record, std::move(item.tokens), item.first_token,
                            std::exchange(pending_, {}), std::exchange(pending_rejects_, {}), 0});
      break;
    case EncodedRecord::Kind::failure:
      failure_ = item.failure;
      return;
    case EncodedRecord::Kind::epoch_end:
    case EncodedRecord::Kind::corpus_end:
      judge(item);
      if (!std::exchange(epoch_has_documents_, false) && failure_ == nullptr)
        failure_ = std::make_exception_ptr(DataError(fmt::format(
            "corpus \"{}\": a whole epoch ({} records read so far, {} rejected, {} filtered, {} held out) has no "
            "document to train on; check its shards, layout, text_field, keep, drop and where",
            corpus_, account_.counts().read, account_.counts().rejected_total(), account_.counts().filtered,
            account_.counts().held_out)));
      ended_ = item.kind == EncodedRecord::Kind::corpus_end;
      return;
    default:
      break;
  }
  judge(item);
}

/// Whether the start position can be inside this item; if not, the corpus fails.
bool TokenBuffer::is_in_midst_of(const EncodedRecord& item) {
  if (item.kind == EncodedRecord::Kind::document && position_.offset <= item.tokens.size()) return true;
  failure_ = std::make_exception_ptr(DataError(start_source_.told(fmt::format(
      "offset is {}, but the record there gives {} tokens: the position is damaged, or the shard has changed",
      position_.offset, item.tokens.size()))));
  return false;
}

void TokenBuffer::count(const EncodedRecord& item) {
  pending_ += account_.add(item);
}

void TokenBuffer::judge(const EncodedRecord& item) {
  if (failure_ != nullptr) return;
  if (const auto verdict = account_.verdict(item)) failure_ = std::make_exception_ptr(DataError(*verdict));
}

TokenBuffer::Supply TokenBuffer::supply(std::uint64_t length, std::optional<TokenId> separator) const {
  const std::uint64_t separators = separator ? documents_.size() : 0;
  if (tokens_ + separators >= length) return Supply::enough;
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  return ended_ ? Supply::ended : Supply::wait;
}

TokenBuffer::Cut TokenBuffer::cut(std::uint64_t length, std::optional<TokenId> separator) {
  Cut cut;
  std::vector<TokenId>& ids = cut.segment.tokens;
  ids.reserve(length);
  while (ids.size() < length) {
    const Held& document = documents_.front();
    if (between_documents_) begin_document(document, cut);
    const std::uint64_t taken = std::min<std::uint64_t>(length - ids.size(), document.tokens.size() - position_.offset);
    if (taken > 0) {
      const auto from = document.tokens.begin() + static_cast<std::ptrdiff_t>(position_.offset);
      const std::uint64_t first = document.first_token + position_.offset;
      cut.segment.documents.push_back(
          {document.place.shard, document.record, first, first + taken, ids.size(), document.place.epoch});
      ids.insert(ids.end(), from, from + static_cast<std::ptrdiff_t>(taken));
      cut.segment.raw_tokens += taken;
      position_.offset += taken;
      tokens_ -= taken;
    }
    if (position_.offset < document.tokens.size()) break;
    if (separator) {
      if (ids.size() == length) break;
      ids.push_back(*separator);
    }
    end_document(cut);
  }
  if (tokens_ < limits_.full_at) cut.credit += give_back_credit();
  position_.raw_tokens += cut.segment.raw_tokens;
  position_.phase_raw_tokens += cut.segment.raw_tokens;
  return cut;
}

void TokenBuffer::begin_document(const Held& document, Cut& cut) {
  between_documents_ = false;
  position_.epoch = document.place.epoch;
  position_.shard_turn = document.place.shard_turn;
  position_.block = document.place.block;
  position_.index = document.place.index;
  position_.seek = document.place.seek;
  position_.records += document.before;
  cut.rejects.insert(cut.rejects.end(), document.rejects.begin(), document.rejects.end());
  ++cut.documents_begun;
}

void TokenBuffer::end_document(Cut& cut) {
  cut.credit += documents_.front().credit;
  documents_.pop_front();
  ++position_.index;
  position_.offset = 0;
  between_documents_ = true;
}

std::vector<Reject> TokenBuffer::close() {
  std::vector<Reject> rejects;
  position_.tail_tokens += tokens_;
  if (!between_documents_) documents_.pop_front();  // It was counted when its first token was consumed.
  position_.tail_documents += documents_.size();
  for (Held& document : documents_) {
    position_.records += document.before;
    std::ranges::move(document.rejects, std::back_inserter(rejects));
  }
  std::ranges::move(pending_rejects_, std::back_inserter(rejects));
  position_.records += pending_;
  position_.open = false;
  documents_.clear();
  pending_ = RecordCounts{};
  pending_rejects_.clear();
  tokens_ = 0;
  return rejects;
}

std::vector<Reject> TokenBuffer::take_rejects() {
  std::vector<Reject> rejects;
  for (std::size_t i = between_documents_ ? 0 : 1; i < documents_.size(); ++i)
    std::ranges::move(documents_[i].rejects, std::back_inserter(rejects));
  std::ranges::move(std::exchange(pending_rejects_, {}), std::back_inserter(rejects));
  return rejects;
}

}  // namespace millrace
