#include "pipeline/document_chunk.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/philox.h"

namespace millrace {

void keep_one_chunk(EncodedItem& item, std::uint64_t limit, std::uint64_t seed, std::uint64_t corpus_id) {
  const std::uint64_t length = item.tokens.size();
  if (limit == 0 || length <= limit) return;
  ItemRng rng(seed, Purpose::document_chunk, item_of({corpus_id, item.place.epoch, item.place.shard, item.record}));
  const std::uint64_t from = limit * rng.below((length + limit - 1) / limit);
  const std::uint64_t to = std::min(from + limit, length);
  // A new vector, so that the rest gives its memory back.
  item.tokens = std::vector<TokenId>(item.tokens.begin() + static_cast<std::ptrdiff_t>(from),
                                     item.tokens.begin() + static_cast<std::ptrdiff_t>(to));
  item.first_token = from;
  item.dropped_tokens = length - item.tokens.size();
}

std::uint64_t max_document_tokens_of(const StreamConfig& config) {
  const Objective& first = config.phases.front().objective;
  for (const Phase& phase : config.phases) {
    if (phase.objective.max_document_tokens != first.max_document_tokens)
      throw ConfigError(fmt::format(
          "objectives \"{}\" and \"{}\": max_document_tokens is {} and {}; a run has one for all its phases, since a "
          "document may begin in one and end in the next",
          first.name, phase.objective.name, first.max_document_tokens, phase.objective.max_document_tokens));
  }
  return first.max_document_tokens;
}

}  // namespace millrace
