#pragma once

#include <cstdint>
#include <string_view>

#include "pipeline/mix/encoded_record.h"
#include "pipeline/reading/record_source.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Which documents of a corpus are read.
struct DocumentChoice {
  double holdout = 0;
  double max_epochs = 0;  ///< 0: no limit.
  std::uint64_t seed = 0;
  std::uint64_t corpus = 0;  ///< RunCorpus::id
};

/// Whether an epoch leaves a document out. Only the last one does, if max_epochs has a fraction: it keeps a document
/// with that probability. The draw depends on seed, corpus, epoch and text; equal texts get the same draw.
bool is_left_out(std::string_view text, std::uint64_t epoch, const DocumentChoice& choice);

/// Turns a record into ids for the mixer, or the reason why there are none (held out, filtered, left out of a
/// fractional epoch, rejected). Pure; any thread. A document that gives no ids counts as rejected (empty_text).
EncodedRecord record_to_tokens(ReadRecord item, const Vocabulary& vocabulary, const DocumentChoice& choice);

}  // namespace millrace
