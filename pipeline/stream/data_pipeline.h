#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/corpora/reject_notices.h"
#include "pipeline/rows/batch_source.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"
#include "stages/records.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// The face of the pipeline: a stream of batches made ahead of need on its own threads.
/// next() and stop() belong to one thread, the trainer's.
class DataPipeline : public BatchSource {
 public:
  struct Options {
    int threads = 0;                 ///< Threads of the graph; 0: all cores. The rows do not depend on it.
    int batch_rows = 1;              ///< Rows a batch.
    std::size_t queued_batches = 4;  ///< Batches held ready. Bounds memory.
    /// How much of a corpus may be on its way from its reader to its token buffer, or wait there behind two examples.
    /// An item counts as its text's bytes and 1 KiB; the reader rests once there are so many. So there is at most one
    /// document more; its ids take at most 4 bytes for each of its text. Bounds memory.
    std::uint64_t bytes_in_flight = 4ull << 20;
    /// Asked by next() while it waits, some times a second: true ends the wait.
    std::function<bool()> interrupted = [] { return false; };
  };

  /// Starts reading the shards of `corpora`: corpora_of(config, FindShards::yes). Looks for none itself. Throws
  /// ConfigError if `start` does not fit. `vocabulary` must outlive the pipeline. An empty `start` is the stream's
  /// beginning.
  DataPipeline(const StreamConfig& config, std::vector<RunCorpus> corpora, const Vocabulary& vocabulary,
               std::optional<StreamPosition> start, Options options);
  ~DataPipeline() override;  ///< Stops and joins.

  /// Waits for the next batch; empty, too, if options.interrupted() meanwhile. Throws DataError (or what a stage threw)
  /// in stream order: all whole batches before the fault have been handed out.
  std::optional<Batch> next() override;
  /// Tails are counted and corpora closed in it. Not to be called after stop().
  StreamRow end() override;
  /// Wakes and ends everything. next() is empty from now on.
  void stop() override;

  /// Records taken from disk so far, for progress and tests; runs ahead of the rows.
  std::uint64_t records_read_ahead() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
