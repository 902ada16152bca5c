#include "pipeline/record_to_item.h"

#include <cmath>
#include <utility>
#include <variant>

#include <xxhash.h>

#include "pipeline/held_out.h"

namespace millrace {
namespace {

constexpr double kTwoTo64 = 0x1p64;

/// A last, fractional epoch takes a document iff hash(text, epoch) < fraction.
bool left_out(const std::string& text, std::uint64_t epoch, double max_epochs) {
  const double whole = std::floor(max_epochs);
  if (max_epochs == whole || static_cast<double>(epoch) < whole) return false;
  return static_cast<double>(XXH3_64bits_withSeed(text.data(), text.size(), epoch)) >= (max_epochs - whole) * kTwoTo64;
}

}  // namespace

EncodedItem record_to_item(ReadItem item, const Vocabulary& vocabulary, double holdout, double max_epochs) {
  using Kind = EncodedItem::Kind;
  EncodedItem encoded;
  encoded.number = item.number;
  encoded.place = item.place;
  encoded.rejects = std::move(item.container_rejects);
  if (item.kind != ReadItem::Kind::record) {
    encoded.kind = item.kind == ReadItem::Kind::epoch_end ? Kind::epoch_end : Kind::corpus_end;
    return encoded;
  }
  if (auto* reject = std::get_if<Reject>(&item.record)) {
    encoded.kind = Kind::rejected;
    encoded.record = reject->where.record;
    encoded.rejects.push_back(std::move(*reject));
    return encoded;
  }
  if (const auto* filtered = std::get_if<Filtered>(&item.record)) {
    encoded.kind = Kind::filtered;
    encoded.record = filtered->where.record;
    return encoded;
  }
  const Document& document = std::get<Document>(item.record);
  encoded.record = document.where.record;
  if (is_held_out(document.text, holdout)) {
    encoded.kind = Kind::held_out;
  } else if (left_out(document.text, item.place.epoch, max_epochs)) {
    encoded.kind = Kind::skipped;
  } else {
    vocabulary.encode(document.text, encoded.tokens);
    if (encoded.tokens.empty()) {
      encoded.kind = Kind::rejected;
      encoded.rejects.push_back(rejected_record(document.where, RejectCause::empty_text, "the text gives no tokens"));
    }
  }
  return encoded;
}

}  // namespace millrace
