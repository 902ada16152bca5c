#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "pipeline/mix/encoded_record.h"
#include "pipeline/reading/record_source.h"

namespace millrace {

/// How a corpus is encoded by itself.
struct CorpusEncoding {
  std::function<EncodedRecord(ReadRecord)> encode;  ///< Any thread.
  std::size_t threads = 1;
  std::uint64_t bytes_in_flight = 4ull << 20;  ///< As DocumentFeed counts them.
};

/// Hands a source's records to `take`, encoded, one by one in the order of reading, until the source ends or `take`
/// returns false. What reading or encoding threw is handed out in its place, as Kind::failure. Throws what `take`
/// throws.
void encode_corpus(RecordSource& source, const CorpusEncoding& how, const std::function<bool(EncodedRecord)>& take);

}  // namespace millrace
