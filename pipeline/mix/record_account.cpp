#include "pipeline/mix/record_account.h"

#include <cstddef>

namespace millrace {

using Kind = EncodedRecord::Kind;

std::optional<std::string> RecordAccount::refusal(const EncodedRecord& item) const {
  if (on_bad_data_ != OnBadData::fail || item.rejects.empty()) return std::nullopt;
  return refusal_of(item.rejects.front(), corpus_);
}

RecordCounts RecordAccount::add(const EncodedRecord& item) {
  RecordCounts counts;
  counts.held_out = item.kind == Kind::held_out;
  counts.filtered = item.kind == Kind::filtered;
  counts.skipped = item.kind == Kind::skipped;
  counts.rejected_records = item.kind == Kind::rejected;
  counts.read = counts.held_out + counts.filtered + counts.skipped + counts.rejected_records;
  counts.read += item.kind == Kind::document;
  counts.bytes = item.bytes;
  counts.shortened = item.dropped_tokens > 0;
  counts.dropped_tokens = item.dropped_tokens;
  for (const Reject& reject : item.rejects) {
    ++counts.rejected[static_cast<std::size_t>(reject.cause)];
    counts.lost += reject.loss;
    judge_.note(reject);
  }
  counts_ += counts;
  return counts;
}

std::optional<std::string> RecordAccount::verdict(const EncodedRecord& last) const {
  return judge_.verdict(counts_, last.kind == Kind::epoch_end || last.kind == Kind::corpus_end);
}

}  // namespace millrace
