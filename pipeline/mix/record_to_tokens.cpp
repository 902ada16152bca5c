#include "pipeline/mix/record_to_tokens.h"

#include <cmath>
#include <utility>
#include <variant>

#include <xxhash.h>

#include "pipeline/corpora/is_held_out.h"
#include "stages/philox.h"

namespace millrace {
namespace {

/// Of a record that could be read.
std::uint64_t size_of(const Record& record) {
  if (const auto* document = std::get_if<Document>(&record)) return document->where.size;
  if (const auto* filtered = std::get_if<Filtered>(&record)) return filtered->where.size;
  return 0;
}

/// Of an end.
EncodedRecord::Kind kind_of(ReadRecord::Kind kind) {
  switch (kind) {
    case ReadRecord::Kind::shard_end:
      return EncodedRecord::Kind::shard_end;
    case ReadRecord::Kind::epoch_end:
      return EncodedRecord::Kind::epoch_end;
    default:
      return EncodedRecord::Kind::corpus_end;
  }
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
  encoded.place = item.place;
  encoded.ended_lanes = std::move(item.ended_lanes);
  encoded.after = item.after;
  encoded.rejects = std::move(item.container_rejects);
  if (item.kind != ReadRecord::Kind::record) {
    encoded.kind = kind_of(item.kind);
    return encoded;
  }
  encoded.bytes = size_of(item.record);
  if (auto* reject = std::get_if<Reject>(&item.record)) {
    encoded.kind = Kind::rejected;
    encoded.rejects.push_back(std::move(*reject));
    return encoded;
  }
  if (std::holds_alternative<Filtered>(item.record)) {
    encoded.kind = Kind::filtered;
    return encoded;
  }
  Document& document = std::get<Document>(item.record);
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
    } else {
      encoded.where = std::move(document.where);
      encoded.fields = std::move(document.fields);
    }
  }
  return encoded;
}

}  // namespace millrace
