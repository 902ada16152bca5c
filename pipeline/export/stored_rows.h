#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/export/export_manifest.h"
#include "pipeline/formats/rows_part.h"
#include "pipeline/rows/batch_source.h"
#include "pipeline/rows/row_names.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Any row at any time of a folder that preprocess wrote in the format rows, whatever run it is of. One object, one
/// thread.
class StoredRowReader {
 public:
  /// Throws ConfigError if the folder is not a whole output of that format, DataError if its manifest is damaged.
  explicit StoredRowReader(std::filesystem::path folder);

  const std::filesystem::path& folder() const { return folder_; }
  const ExportManifest& manifest() const { return manifest_; }
  /// What the rows' provenance numbers. `config`: phases_in() the manifest's identity.
  RowNames names(const StreamConfig& config) const;
  /// REQUIRES: number < manifest().rows. Throws DataError, naming the bytes, for a row that is damaged.
  StreamRow row(std::uint64_t number);
  /// The header of the part that has the row. REQUIRES and throws as row().
  const RowsPartHeader& part_of(std::uint64_t number);

 private:
  std::filesystem::path folder_;
  ExportManifest manifest_;
  std::optional<RowsPartReader> part_;
};

/// Rows that preprocess wrote, as the stream would give them. One object, one thread.
class StoredRows : public BatchSource {
 public:
  struct Wanted {
    const StreamConfig& run;                ///< Whole, with the phases that are not trained on.
    const StreamConfig& trained;            ///< Of which the rows are to be; must outlive the object.
    const std::vector<RunCorpus>& corpora;  ///< Of `trained`, with their shards.
    const Vocabulary& vocabulary;
    std::uint64_t rows = 0;  ///< How many are needed.
    int batch_rows = 1;
  };
  /// Throws ConfigError if the folder does not hold whole rows of this run, vocabulary, version of the stream and
  /// shards (saying what differs), or fewer than are needed although the stream had more.
  StoredRows(const std::filesystem::path& folder, const Wanted& wanted);

  /// The next row is this one: the stream's `row` behind a position. 0 at the beginning.
  void go_to(std::uint64_t row) { next_ = row; }
  /// Throws DataError, naming the bytes, for rows that are damaged.
  std::optional<Batch> next() override;
  /// Without rejects and position before the last row.
  StreamRow end() override;
  /// Bytes of rows and provenance that are held at most, if all parts are as the first: while a part's provenance is
  /// unpacked, with the batch being made and the one being trained on. Throws as next().
  std::uint64_t memory_bytes();

 private:
  StoredRowReader reader_;
  const StreamConfig& trained_;
  std::vector<RunCorpus> corpora_;
  std::size_t batch_rows_;
  std::uint64_t rows_;  ///< Up to the folder's end, or to the end of the phases that are trained on.
  std::uint64_t next_ = 0;
};

}  // namespace millrace
