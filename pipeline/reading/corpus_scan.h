#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/corpus_shard.h"
#include "pipeline/reading/read_cursor.h"
#include "pipeline/reading/record_source.h"

namespace millrace {

/// Reads a corpus's shards once, in natural order, every record in its place. Damage behind a shard's last record comes
/// with Kind::shard_end.
class CorpusScan final : public RecordSource {
 public:
  CorpusScan(const StreamConfig& config, const RunCorpus& corpus, const ScanCursor& start,
             CorpusShard::WithIds with_ids);

  /// Throws what opening or reading a shard throws; DataError behind a shard of which nothing could be read, unless it
  /// may be so.
  bool next(ReadRecord& item) override;
  std::uint64_t bytes() const { return bytes_; }  ///< Of all its files.

 private:
  void end_shard();
  ScanCursor place() const;

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  ScanCursor place_;  ///< Where the next shard is opened.
  const CorpusShard::WithIds with_ids_;
  std::vector<std::uint64_t> file_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_before_ = 0;  ///< Of the shards before the present one.
  std::optional<CorpusShard> shard_;
  bool ended_ = false;
};

}  // namespace millrace
