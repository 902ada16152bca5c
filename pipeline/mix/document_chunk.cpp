#include "pipeline/mix/document_chunk.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "stages/philox.h"

namespace millrace {

void keep_one_chunk(EncodedRecord& item, std::uint64_t limit, std::uint64_t seed, std::uint64_t corpus_id) {
  const std::uint64_t length = item.tokens.size();
  if (limit == 0 || length <= limit) return;
  ItemRng rng(seed, Purpose::document_chunk,
              item_of({corpus_id, item.place.epoch, item.place.shard, item.where.record}));
  const std::uint64_t from = limit * rng.below((length + limit - 1) / limit);
  const std::uint64_t to = std::min(from + limit, length);
  // A new vector, so that the rest gives its memory back.
  item.tokens = std::vector<TokenId>(item.tokens.begin() + static_cast<std::ptrdiff_t>(from),
                                     item.tokens.begin() + static_cast<std::ptrdiff_t>(to));
  item.first_token = from;
  item.dropped_tokens = length - item.tokens.size();
}

}  // namespace millrace
