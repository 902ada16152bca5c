#pragma once

#include <cstdint>

#include "pipeline/stream_config.h"
#include "pipeline/token_buffer.h"

namespace millrace {

/// T5's select_random_chunk (openmoe-facts 2.2): of a document of more than `limit` ids one chunk is kept, chosen
/// uniformly among [0, limit), [limit, 2 limit), ...; the last one may be shorter. The choice is drawn anew for each
/// seed, corpus, epoch, shard and record. What is dropped is counted in the item. A limit of 0 keeps everything.
void keep_one_chunk(EncodedItem& item, std::uint64_t limit, std::uint64_t seed, std::uint64_t corpus_id);

/// The phases' max_document_tokens. A document that is begun in one phase may end in the next, so there is one for the
/// whole run: throws ConfigError if the phases' objectives differ in it.
std::uint64_t max_document_tokens_of(const StreamConfig& config);

}  // namespace millrace
