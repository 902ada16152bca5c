#pragma once

#include <cstdint>

#include "pipeline/config/stream_config.h"
#include "pipeline/mix/encoded_record.h"

namespace millrace {

/// T5's preprocessors.select_random_chunk: of a document of more than `limit` ids one chunk is kept, chosen
/// uniformly among [0, limit), [limit, 2 limit), ...; the last one may be shorter. The choice is drawn anew for each
/// seed, corpus, epoch, shard and record. Dropped ids are counted in the item. A limit of 0 keeps everything.
void keep_one_chunk(EncodedRecord& item, std::uint64_t limit, std::uint64_t seed, std::uint64_t corpus_id);

}  // namespace millrace
