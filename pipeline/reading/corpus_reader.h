#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/lane_reader.h"
#include "pipeline/reading/lanes.h"
#include "pipeline/reading/read_cursor.h"
#include "pipeline/reading/record_source.h"

namespace millrace {

/// Reads one corpus for ever (or for its max_epochs). In an epoch its shards stand in lanes; the next record is always
/// of the lane of which the smallest part of its files' bytes has been read. So lanes alternate in proportion to their
/// bytes, and end together. The order depends on (seed, run file, corpus, shards' bytes) only. Damage behind a shard's
/// last record comes with the next item.
class CorpusReader final : public RecordSource {
 public:
  /// The first item is the next record at `start`. All but `start` outlives the reader.
  CorpusReader(const StreamConfig& config, const RunCorpus& corpus, const ReadingPlan& plan, const ReadStart& start);

  /// Throws what LaneReader::has_next throws.
  bool next(ReadRecord& item) override;

 private:
  /// A lane that has not ended.
  struct OpenLane {
    std::unique_ptr<LaneReader> reader;
    std::optional<std::uint64_t> read;  ///< LaneReader::bytes_read(), once asked for.
  };
  void begin_epoch(const ReadStart& start);
  std::size_t least_read();
  OpenLane* lane_in_turn();

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  const ReadingPlan& plan_;
  std::uint64_t epochs_;  ///< Epochs to read; 0: no limit.
  std::uint64_t epoch_;
  bool ended_;
  std::vector<OpenLane> lanes_;        ///< Without a reader where all is read.
  std::vector<LaneMove> ended_lanes_;  ///< Since the last item.
  std::vector<Reject> damage_;         ///< Of ended lanes, since the last item.
};

}  // namespace millrace
