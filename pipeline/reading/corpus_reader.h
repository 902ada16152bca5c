#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/corpus_shard.h"
#include "pipeline/reading/read_cursor.h"
#include "pipeline/reading/record_source.h"

namespace millrace {

/// The order in which an epoch reads a corpus's shards: indices in RunCorpus::shards.
std::vector<std::uint32_t> shard_order(std::uint64_t seed, const RunCorpus& corpus, std::uint64_t epoch);

/// Reads one corpus for ever (or for its max_epochs): shards permuted per epoch, blocks of consecutive records
/// shuffled within a shard. The order depends on (seed, corpus, shards' bytes) only. Damage behind a shard's last
/// record comes with the next item.
class CorpusReader final : public RecordSource {
 public:
  /// The first item is the record at the (epoch, shard_turn, block, index) of `start`, whose shard need not be given.
  CorpusReader(const StreamConfig& config, const RunCorpus& corpus, const ReadStart& start);

  /// Throws what opening or reading a shard throws; DataError behind the last item of a shard of which nothing could be
  /// read, unless it may be so; DataError naming the source of `start` if there is no such place.
  bool next(ReadRecord& item) override;

 private:
  void begin_epoch();
  bool begin_shard();
  bool read_block();

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  std::uint64_t epochs_;  ///< Epochs to read; 0: no limit.
  ReadCursor place_;
  std::uint64_t next_turn_ = 0;     ///< Turn of the shard to open next.
  std::uint64_t first_record_ = 0;  ///< Of the block that is read next when a shard is opened.
  SeekPoint from_;                  ///< From where it can be read.
  std::uint64_t skip_ = 0;          ///< Items of that block that were consumed before.
  std::uint64_t least_ = 0;         ///< Items that it must have.
  PositionSource start_source_;     ///< Source of `least_`, for messages.
  bool damage_reported_ = false;    ///< The container damage in that block was yielded before.
  bool ended_ = false;
  std::vector<std::uint32_t> shard_order_;
  std::optional<CorpusShard> shard_;
  bool is_readable_ = false;            ///< Something could be read of the shard that is opened next.
  std::optional<std::string> failure_;  ///< What comes behind the block.
  std::vector<Record> block_;           ///< In the shard's order; taken in block_order_.
  std::vector<std::uint32_t> block_order_;
  std::vector<Reject> container_rejects_;
};

}  // namespace millrace
