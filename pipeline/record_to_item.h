#pragma once

#include "pipeline/corpus_reader.h"
#include "pipeline/token_buffer.h"
#include "stages/document_to_tokens.h"

namespace millrace {

/// What a record becomes for the mixer: ids, or the reason why there are none (held out, filtered, left out of a
/// fractional epoch, rejected). Pure; any thread. A document that gives no ids counts as rejected (empty_text).
EncodedItem record_to_item(ReadItem item, const Vocabulary& vocabulary, double holdout, double max_epochs);

}  // namespace millrace
