#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/rows/position.h"

namespace millrace {

/// Rows [from, to), made again by a stream that begins at `start` (row `from`; empty: the stream's beginning).
struct RowRange {
  std::optional<Position> start;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

/// The only rows below `end` that can hold tokens of a document: between those of the recorded positions (in the order
/// of their rows) that its block lies between, in every epoch. Ranges in order, neighbours joined.
/// `shard`: index in corpus.shards; `record`: as Where::record.
std::vector<RowRange> rows_that_may_hold(const RunCorpus& corpus, std::uint32_t shard, std::uint64_t record,
                                         std::uint64_t seed, const std::vector<Position>& recorded, std::uint64_t end);

}  // namespace millrace
