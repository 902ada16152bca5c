#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"

namespace millrace {

/// How a corpus is read in every epoch: its shards stand in lanes, one behind another, and the lanes are read side by
/// side, so that documents of as many shards as there are lanes alternate.
struct ReadingPlan {
  std::vector<std::uint64_t> shard_bytes;  ///< Size of each file; 0: not known.
  std::uint64_t content_bytes = 0;         ///< Of all shards after decompression, about.
  std::size_t lanes = 1;                   ///< At most one a shard.
  std::uint64_t lane_bytes = 0;            ///< Memory that an open shard takes: a block, and its decompressor's window.
  std::uint64_t lane_replay_bytes = 0;     ///< Of content that going on reads again at most, on its way into a shard.
  std::uint64_t window = 0;                ///< Ids of a window of segments at most: longest_window, or all.

  /// Of all open shards, and of two windows.
  std::uint64_t memory_bytes() const;
  /// Of content that going on reads again at most, on its way into all open shards and for a window of common text.
  std::uint64_t replay_bytes() const;
};

/// Ids of the longest window of segments: one of StreamConfig::shuffle_tokens, and half as many where no more is left
/// of an epoch.
std::uint64_t longest_window(const StreamConfig& config);

/// One for each corpus, from the run and the shards' bytes only. Lanes are opened as long as they fit in
/// StreamConfig::shuffle_memory and what they replay in replay_bytes, and no more than shuffle_shards. The corpora that
/// a phase is the first to use share what the phases before it left, those with few shards first; each has one lane at
/// least. So a phase that is added changes no plan of those before it. Looks at the beginning of up to 64 shards of
/// each; `corpora` with their shards.
std::vector<ReadingPlan> reading_plans(const StreamConfig& config, const std::vector<RunCorpus>& corpora);

/// How many shards of all corpora are open at once.
std::size_t open_shards(const StreamConfig& config, const std::vector<RunCorpus>& corpora);

/// The shards of each lane in an epoch, as indices in RunCorpus::shards: all shards, permuted anew each epoch, each in
/// turn behind those of the lane that has the fewest bytes so far.
std::vector<std::vector<std::uint32_t>> lanes_of_epoch(const ReadingPlan& plan, std::uint64_t seed,
                                                       std::uint64_t corpus_id, std::uint64_t epoch);

}  // namespace millrace
