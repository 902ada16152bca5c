#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "pipeline/corpus_set.h"
#include "pipeline/data_pipeline.h"
#include "pipeline/output_manifest.h"
#include "pipeline/rows_part.h"
#include "pipeline/stream_config.h"

namespace millrace {

/// Rows that preprocess wrote, as the stream would give them. One object, one thread.
class RowsFolder {
 public:
  struct Wanted {
    const StreamConfig& run;      ///< Whole, with the phases that are not trained on.
    const StreamConfig& trained;  ///< Of which the rows are to be; must outlive the object.
    const Vocabulary& vocabulary;
    std::uint64_t rows = 0;  ///< How many are needed.
    int batch_rows = 1;
  };
  /// Throws ConfigError if the folder does not hold whole rows of this run, vocabulary, version of the stream and
  /// shards (saying what differs), or fewer than are needed although the stream had more.
  RowsFolder(std::filesystem::path folder, const Wanted& wanted);

  /// The next row is this one: the stream's `row` behind a position. 0 at the beginning.
  void go_to(std::uint64_t row) { next_ = row; }
  /// As DataPipeline::next(). Throws DataError, naming the bytes, for rows that are damaged.
  std::optional<Batch> next();

 private:
  StreamRow read_row(std::uint64_t number);

  std::filesystem::path folder_;
  const StreamConfig& trained_;
  std::vector<RunCorpus> corpora_;
  OutputManifest manifest_;
  std::size_t batch_rows_;
  std::uint64_t next_ = 0;
  std::optional<RowsPartReader> part_;
};

}  // namespace millrace
