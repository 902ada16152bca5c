#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/corpora/reject_notices.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"
#include "stages/records.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// The face of the pipeline: a stream of batches made ahead of need on its own threads.
/// next() and stop() belong to one thread, the trainer's.
class DataPipeline {
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

  /// Lists the shards and starts reading. Throws ConfigError if a pattern matches nothing, or `start` does not fit.
  /// `vocabulary` must outlive the pipeline. An empty `start` is the stream's beginning.
  DataPipeline(const StreamConfig& config, const Vocabulary& vocabulary, std::optional<Position> start,
               Options options);
  ~DataPipeline();  ///< Stops and joins.

  /// Waits for the next batch; empty at the stream's end, before which the last batch may be an incomplete one, or if
  /// options.interrupted() meanwhile. Throws DataError (or what a stage threw) in stream order: all whole batches
  /// before the fault have been handed out.
  std::optional<Batch> next();
  /// What lies behind the last row, as a row without examples and tokens: what was passed over since, and the position
  /// that the stream's end has come to, tails counted and corpora closed. To be called once next() was empty or threw,
  /// and not after stop().
  const StreamRow& end();
  /// No more batches wanted: wakes and ends everything. next() is empty from now on.
  void stop();

  /// Names of the corpora of all phases, in the order of first mention, and their shards in natural order.
  const std::vector<std::string>& corpora() const;
  const std::vector<std::string>& shards(std::size_t corpus) const;

  /// Records taken from disk so far, for progress and tests; runs ahead of the rows.
  std::uint64_t records_read_ahead() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
