#include "pipeline/mix/token_buffer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {
namespace {

/// Whether `next` goes on in the same document where `span` ends.
bool goes_on(const DocumentSpan& span, const DocumentSpan& next) {
  return span.shard == next.shard && span.record == next.record && span.epoch == next.epoch && span.to == next.from;
}

}  // namespace

TokenBuffer::TokenBuffer(std::string corpus, ReadingPlace start, PositionSource source, bool is_open,
                         const Limits& limits)
    : corpus_(std::move(corpus)),
      limits_(limits),
      start_source_(std::move(source)),
      place_(std::move(start)),
      account_(limits.on_bad_data, limits.max_bad_fraction, corpus_, place_.records) {
  mid_document_ = place_.offset > 0;
  epoch_has_documents_ = !place_.lanes.empty() || place_.offset > 0;
  ended_ = !is_open;
  epochs_.push_back({place_.epoch, 0, 0, ended_});
}

void TokenBuffer::arrive(EncodedRecord item) {
  const bool must_wait = item.kind == EncodedRecord::Kind::document && is_full();
  const std::uint64_t credit = item.credit;
  enter(std::move(item));
  // Nothing more is wanted behind a failure or the corpus's end: without credits its reader rests.
  if (failure_ != nullptr || ended_) return;
  (must_wait ? documents_.back().credit : credit_) += credit;
}

std::uint64_t TokenBuffer::take_credit() {
  return std::exchange(credit_, 0);
}

bool TokenBuffer::is_full() const {
  const EpochHeld& first = epochs_.front();
  const std::uint64_t at_once = first.is_whole ? std::min(first.tokens, limits_.window) : limits_.window;
  return tokens_ >= at_once + limits_.ahead;
}

/// Of all documents that still hold some.
void TokenBuffer::free_credit() {
  for (auto document = documents_.rbegin(); document != documents_.rend() && document->credit > 0; ++document)
    credit_ += std::exchange(document->credit, 0);
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
  pass(item);
  switch (item.kind) {
    case EncodedRecord::Kind::document:
      hold(item, counted_before ? place_.offset : 0);
      break;
    case EncodedRecord::Kind::failure:
      failure_ = item.failure;
      return;
    case EncodedRecord::Kind::epoch_end:
    case EncodedRecord::Kind::corpus_end:
      begin_epoch(item.place.epoch);
      judge(item);
      if (!std::exchange(epoch_has_documents_, false) && failure_ == nullptr)
        failure_ = std::make_exception_ptr(DataError(fmt::format(
            "corpus \"{}\": a whole epoch ({} records read so far, {} rejected, {} filtered, {} held out) has no "
            "document to train on; check its shards, layout, text_field, keep, drop and where",
            corpus_, account_.counts().read, account_.counts().rejected_total(), account_.counts().filtered,
            account_.counts().held_out)));
      ended_ = item.kind == EncodedRecord::Kind::corpus_end;
      if (ended_) epochs_.back().is_whole = true;
      return;
    default:
      break;
  }
  judge(item);
}

void TokenBuffer::begin_epoch(std::uint64_t epoch) {
  epochs_.back().is_whole = true;
  epochs_.push_back({epoch, 0, 0, false});
  forget_ended_epochs();
}

void TokenBuffer::add(EpochHeld& epoch, std::uint64_t tokens, std::uint64_t ends) {
  epoch.tokens += tokens;
  epoch.ends += ends;
  tokens_ += tokens;
  ends_ += ends;
}

/// `cut`: how much of the document was cut before a restart.
void TokenBuffer::hold(EncodedRecord& document, std::uint64_t cut) {
  epoch_has_documents_ = true;
  if (epochs_.back().epoch != document.place.epoch) begin_epoch(document.place.epoch);
  add(epochs_.back(), document.tokens.size() - cut, 1);
  Held& held = documents_.emplace_back();
  held.place = std::move(document.place);
  held.record = document.where.record;
  held.tokens = std::move(document.tokens);
  held.first_token = document.first_token;
  held.offset = cut;
  held.begins = cut == 0;
  held.told = Told(std::exchange(pending_, {}), std::exchange(pending_rejects_, {}));
  held.lanes = std::exchange(pending_lanes_, {});
}

/// Whether the start position can be inside this item; if not, the corpus fails.
bool TokenBuffer::is_in_midst_of(const EncodedRecord& item) {
  if (item.kind == EncodedRecord::Kind::document && place_.offset <= item.tokens.size()) return true;
  failure_ = std::make_exception_ptr(DataError(start_source_.told(fmt::format(
      "offset is {}, but the record there gives {} tokens: the position is damaged, or the shard has changed",
      place_.offset, item.tokens.size()))));
  return false;
}

/// Notes how far the lanes are once the item, or all before it if it is a document, has been passed over.
void TokenBuffer::pass(const EncodedRecord& item) {
  for (const LaneMove& ended : item.ended_lanes) pending_lanes_[ended.lane] = ended.to;
  switch (item.kind) {
    case EncodedRecord::Kind::held_out:
    case EncodedRecord::Kind::filtered:
    case EncodedRecord::Kind::skipped:
    case EncodedRecord::Kind::rejected:
      pending_lanes_[item.place.lane] = item.place.at;
      ++pending_lanes_[item.place.lane].index;
      break;
    case EncodedRecord::Kind::epoch_end:
      pending_lanes_.clear();
      break;
    default:
      break;
  }
}

void TokenBuffer::move(const std::map<std::uint32_t, LaneCursor>& lanes) {
  for (const auto& [lane, to] : lanes) {
    if (place_.lanes.size() <= lane) place_.lanes.resize(lane + 1);
    place_.lanes[lane] = to;
  }
}

void TokenBuffer::count(const EncodedRecord& item) {
  pending_ += account_.add(item);
}

void TokenBuffer::judge(const EncodedRecord& item) {
  if (failure_ != nullptr) return;
  if (const auto verdict = account_.verdict(item)) failure_ = std::make_exception_ptr(DataError(*verdict));
}

TokenBuffer::Supply TokenBuffer::supply(std::uint64_t length, std::optional<TokenId> separator) const {
  if (tokens_ + (separator ? ends_ : 0) >= length) return Supply::enough;
  expect_sound();
  return ended_ ? Supply::ended : Supply::wait;
}

TokenBuffer::EpochSupply TokenBuffer::supply_of_epoch(std::optional<TokenId> separator) const {
  const EpochHeld& epoch = epochs_.front();
  return {epoch.epoch, epoch.tokens + (separator ? epoch.ends : 0), epoch.is_whole};
}

void TokenBuffer::expect_sound() const {
  if (failure_ != nullptr) std::rethrow_exception(failure_);
}

TokenBuffer::Cut TokenBuffer::cut(std::uint64_t length, std::optional<TokenId> separator) {
  Cut cut;
  std::vector<TokenId>& ids = cut.segment.tokens;
  ids.reserve(length);
  while (ids.size() < length) {
    Held& document = documents_.front();
    if (document.begins) begin_document(document, cut);
    take_ids(document, length - ids.size(), cut);
    if (document.offset < document.tokens.size()) break;
    if (separator && document.ends) {
      if (ids.size() == length) break;
      ids.push_back(*separator);
    }
    end_document();
  }
  if (!is_full()) free_credit();
  return cut;
}

void TokenBuffer::begin_document(Held& document, Cut& cut) {
  document.begins = false;
  if (!document.is_piece) place_.records += document.told.records();
  cut.begun.push_back({cut.segment.documents.size(), std::exchange(document.told, {})});
  if (document.is_piece) return;
  if (std::exchange(place_.epoch, document.place.epoch) != document.place.epoch) place_.lanes.clear();
  move(document.lanes);
  move({{document.place.lane, document.place.at}});
  place_.lane = document.place.lane;
}

/// At most `most` ids of the document.
void TokenBuffer::take_ids(Held& document, std::uint64_t most, Cut& cut) {
  Segment& segment = cut.segment;
  const std::uint64_t taken = std::min<std::uint64_t>(most, document.tokens.size() - document.offset);
  if (taken == 0) return;
  const auto from = document.tokens.begin() + static_cast<std::ptrdiff_t>(document.offset);
  const std::uint64_t first = document.first_token + document.offset;
  DocumentSpan span{document.place.shard, document.record,       first,
                    first + taken,        segment.tokens.size(), document.place.epoch};
  if (!segment.documents.empty() && goes_on(segment.documents.back(), span)) {
    segment.documents.back().to = span.to;
  } else {
    segment.documents.push_back(span);
  }
  segment.tokens.insert(segment.tokens.end(), from, from + static_cast<std::ptrdiff_t>(taken));
  segment.raw_tokens += taken;
  document.offset += taken;
  epochs_.front().tokens -= taken;
  tokens_ -= taken;
  if (!document.is_piece) place_.offset = document.offset;
}

void TokenBuffer::end_document() {
  const Held& document = documents_.front();
  credit_ += document.credit;
  if (document.ends) {
    --epochs_.front().ends;
    --ends_;
  }
  if (!document.is_piece) {
    ++place_.lanes[place_.lane].index;
    place_.lane = 0;
    place_.offset = 0;
  }
  documents_.pop_front();
  forget_ended_epochs();
}

void TokenBuffer::forget_ended_epochs() {
  while (epochs_.size() > 1 && epochs_.front().is_whole && epochs_.front().tokens == 0 && epochs_.front().ends == 0)
    epochs_.pop_front();
}

void TokenBuffer::put_back(std::vector<Cut> cuts) {
  std::vector<Held> pieces = pieces_of(std::move(cuts));
  if (pieces.empty()) return;
  if (!documents_.empty()) {
    const Held& next = documents_.front();
    pieces.back().ends = !is_continued(pieces.back(), next);
    // It was only there for its separator, which the last piece has now.
    if (pieces.back().ends && next.offset == next.tokens.size()) end_document();
  }
  if (const std::uint64_t epoch = pieces.front().place.epoch; epochs_.front().epoch != epoch)
    epochs_.push_front({epoch, 0, 0, true});
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    add(epochs_.front(), piece->tokens.size(), piece->ends ? 1 : 0);
    documents_.push_front(std::move(*piece));
  }
}

/// Whether `next` goes on where `document` ends.
bool TokenBuffer::is_continued(const Held& document, const Held& next) {
  return document.place.shard == next.place.shard && document.record == next.record &&
         document.place.epoch == next.place.epoch &&
         document.first_token + document.tokens.size() == next.first_token + next.offset;
}

/// All but the last know whether they end.
std::vector<TokenBuffer::Held> TokenBuffer::pieces_of(std::vector<Cut> cuts) {
  std::vector<Held> pieces;
  for (Cut& cut : cuts) {
    for (std::size_t i = 0; i < cut.segment.documents.size(); ++i) {
      const DocumentSpan& span = cut.segment.documents[i];
      Held piece;
      piece.place.shard = span.shard;
      piece.place.epoch = span.epoch;
      piece.record = span.record;
      const auto from = cut.segment.tokens.begin() + static_cast<std::ptrdiff_t>(span.at);
      piece.tokens.assign(from, from + static_cast<std::ptrdiff_t>(span.to - span.from));
      piece.first_token = span.from;
      piece.is_piece = true;
      const auto begun = std::ranges::find(cut.begun, i, &Begun::span);
      piece.begins = begun != cut.begun.end();
      if (piece.begins) piece.told = std::move(begun->told);
      if (!pieces.empty()) pieces.back().ends = !is_continued(pieces.back(), piece);
      pieces.push_back(std::move(piece));
    }
  }
  return pieces;
}

TokenBuffer::Tail TokenBuffer::take_tail() {
  Tail tail;
  tail.tokens = tokens_;
  for (Held& document : documents_) {
    if (document.begins) ++tail.documents;
    tail.records += document.told.records();
    std::ranges::move(document.told.take_rejects(), std::back_inserter(tail.rejects));
  }
  tail.records += std::exchange(pending_, {});
  std::ranges::move(std::exchange(pending_rejects_, {}), std::back_inserter(tail.rejects));
  documents_.clear();
  epochs_ = {{epochs_.back().epoch, 0, 0, true}};
  tokens_ = ends_ = 0;
  return tail;
}

std::vector<Reject> TokenBuffer::take_rejects() {
  std::vector<Reject> rejects;
  for (Held& document : documents_) std::ranges::move(document.told.take_rejects(), std::back_inserter(rejects));
  std::ranges::move(std::exchange(pending_rejects_, {}), std::back_inserter(rejects));
  return rejects;
}

}  // namespace millrace
