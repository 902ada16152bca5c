#include "pipeline/mix/record_to_tokens.h"

#include <cmath>
#include <utility>
#include <variant>

#include <xxhash.h>

#include "pipeline/corpora/held_out.h"
#include "stages/philox.h"

namespace millrace {
namespace {

/// Of a record that could be read.
std::uint64_t size_of(const Record& record) {
  if (const auto* document = std::get_if<Document>(&record)) return document->where.size;
  if (const auto* filtered = std::get_if<Filtered>(&record)) return filtered->where.size;
  return 0;
}

}  // namespace

bool is_left_out(std::string_view text, std::uint64_t epoch, const DocumentChoice& choice) {
  const double whole = std::floor(choice.max_epochs);
  if (choice.max_epochs == whole || static_cast<double>(epoch) < whole) return false;
  const std::uint64_t item = item_of({choice.corpus, epoch, XXH3_64bits(text.data(), text.size())});
  return ItemRng(choice.seed, Purpose::fractional_epoch, item).uniform() >= choice.max_epochs - whole;
}

EncodedRecord record_to_tokens(ReadRecord item, const Vocabulary& vocabulary, const DocumentChoice& choice) {
  using Kind = EncodedRecord::Kind;
  EncodedRecord encoded;
  encoded.number = item.number;
  encoded.place = item.place;
  encoded.rejects = std::move(item.container_rejects);
  if (item.kind != ReadRecord::Kind::record) {
    encoded.kind = item.kind == ReadRecord::Kind::epoch_end ? Kind::epoch_end : Kind::corpus_end;
    return encoded;
  }
  encoded.bytes = size_of(item.record);
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
  if (is_held_out(document.text, choice.holdout)) {
    encoded.kind = Kind::held_out;
  } else if (is_left_out(document.text, item.place.epoch, choice)) {
    encoded.kind = Kind::skipped;
  } else {
    vocabulary.encode(document.text, encoded.tokens);
    if (encoded.tokens.empty()) {
      encoded.kind = Kind::rejected;
      encoded.bytes = 0;
      encoded.rejects.push_back(rejected_record(document.where, RejectCause::empty_text, "the text gives no tokens"));
    }
  }
  return encoded;
}

}  // namespace millrace
