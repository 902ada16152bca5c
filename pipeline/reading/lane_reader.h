#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/corpus_shard.h"
#include "pipeline/reading/lanes.h"
#include "pipeline/reading/read_cursor.h"

namespace millrace {

/// Reads the shards of a lane one behind another in an epoch, each in blocks of consecutive records (at most
/// shuffle_block, or shuffle_bytes of text) that are shuffled. One thread at a time.
class LaneReader {
 public:
  /// A lane's place in its corpus, and its shards. All that it names outlives the reader.
  struct Lane {
    const StreamConfig& config;
    const RunCorpus& corpus;
    const ReadingPlan& plan;
    std::uint64_t epoch = 0;
    std::uint32_t number = 0;
    std::vector<std::uint32_t> shards;
  };
  /// `begun`: part of the record at `start` was consumed. `source`: of `start`, for messages.
  LaneReader(Lane lane, const LaneCursor& start, bool begun, PositionSource source);

  /// Whether a record is left. Reads the next block where one must be read. Throws what opening or reading a shard
  /// throws; DataError behind the last record of a shard of which nothing could be read, unless it may be so; DataError
  /// naming the source of the start if there is no such place.
  bool has_next();
  /// REQUIRES: has_next().
  Record take(ReadCursor& place);
  /// Containers' damage met since the last call.
  std::vector<Reject> take_damage();

  /// Bytes of the lane's files behind and in all. Reads the block of the start if that is within the lane.
  std::uint64_t bytes_read();
  std::uint64_t bytes() const { return bytes_; }
  /// The place at the lane's end.
  LaneCursor end() const;

 private:
  bool open_shard_in_turn();
  void read_block();
  void go_to_start();

  Lane lane_;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_before_ = 0;  ///< Of the shards before the present one.
  LaneCursor at_;
  std::uint64_t next_turn_;          ///< Of the shard that is opened next.
  std::optional<LaneCursor> start_;  ///< Until its block has been read.
  bool begun_;
  PositionSource source_;
  std::optional<CorpusShard> shard_;
  std::optional<std::string> failure_;  ///< What comes behind the block.
  std::vector<Record> block_;           ///< In the shard's order; taken in order_.
  std::vector<std::uint32_t> order_;
  std::uint64_t block_begin_ = 0;  ///< In bytes of the shard's file.
  std::uint64_t block_end_ = 0;
  std::vector<Reject> damage_;
};

}  // namespace millrace
