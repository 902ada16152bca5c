#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/read_cursor.h"
#include "stages/record_reader.h"

namespace millrace {

/// Consecutive records of one shard.
struct RecordBatch {
  struct Entry {
    Record record;
    bool counts = true;  ///< False for damage of a container, which is no record.
  };
  std::vector<Entry> entries;
  std::uint64_t shard = 0;
  ScanCursor after;
  std::string failure;  ///< Why the job ends behind the batch: nothing of its shard could be read. Else empty.
  std::uint64_t bytes_behind = 0;  ///< Of the corpus's files; about, within a compressed one.
};

/// Reads a corpus's shards once, in natural order, every record in its place. One object, one thread at a time.
class CorpusScan {
 public:
  /// `with_ids`: Document::fields holds the record's id, where its layout has one.
  CorpusScan(const StreamConfig& config, const RunCorpus& corpus, ScanCursor start, bool with_ids);

  /// False at the corpus's end. Blocks on disk reads.
  bool next(RecordBatch& batch);
  std::uint64_t bytes() const { return bytes_; }  ///< Of all its files.

 private:
  bool open_shard_in_turn();
  void note(Record& record);

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  ScanCursor place_;
  const bool with_ids_;
  std::vector<std::uint64_t> file_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_before_ = 0;  ///< Of the shards before the present one.
  std::unique_ptr<RecordReader> shard_;
  RecordLayout layout_;
  bool is_allowed_ = false;           ///< The shard may be unreadable.
  std::optional<Reject> unreadable_;  ///< The first reject that says of it that something could not be read.
};

}  // namespace millrace
