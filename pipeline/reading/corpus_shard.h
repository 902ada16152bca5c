#pragma once

#include <memory>
#include <optional>
#include <string>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/reading/read_cursor.h"
#include "stages/record_reader.h"

namespace millrace {

/// One shard of a corpus, opened: its records in order, and whether anything of it could be read. One object, one
/// thread at a time.
class CorpusShard {
 public:
  enum class WithIds : std::uint8_t { no, yes };  ///< yes: Document::fields holds the record's id, where there is one.

  /// Opens the shard at `from`. Never throws for bad data; throws as open_shard does.
  CorpusShard(const StreamConfig& config, const RunCorpus& corpus, const ScanCursor& from,
              WithIds with_ids = WithIds::no);

  enum class Step : std::uint8_t { record, damage, end };
  /// The next record, or a container's damage, which is no record and takes no place among them. Blocks on disk reads.
  Step next(Record& record);

  /// Behind what was read last. Damage that was read since the last record is met again from there.
  ScanCursor place() const;
  double share_read() const { return reader_->share_read(); }  ///< 0 to 1; about, in a compressed file.
  std::uint64_t file_bytes_read() const { return reader_->file_bytes_read(); }  ///< As RecordReader's.
  /// Whether `[data] allow_unreadable` names it: its rejects stand for nothing.
  bool may_be_unreadable() const { return is_allowed_; }
  /// Behind Step::end: why the job ends here, in words, if nothing of the shard could be read and that may not be.
  std::optional<std::string> failure() const;

 private:
  const RunCorpus& corpus_;
  const std::uint64_t shard_;  ///< Index in corpus_.shards.
  std::unique_ptr<RecordReader> reader_;
  RecordLayout layout_;
  bool is_allowed_ = false;
  bool is_readable_ = false;          ///< Something of it could be read.
  std::optional<Reject> unreadable_;  ///< The first reject that says of it that something could not.
};

}  // namespace millrace
