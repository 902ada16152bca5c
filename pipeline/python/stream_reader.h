#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/corpora/reject_notices.h"
#include "pipeline/python/opened_run.h"
#include "pipeline/python/stream_state.h"
#include "pipeline/rows/row_names.h"
#include "pipeline/rows/stream_row.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// How a stream is read.
struct StreamReading {
  RunToOpen run;
  std::optional<std::string> start;  ///< A StreamState as JSON; none: from the beginning.
  int batch_rows = 0;                ///< 0: as the run says.
  int threads = 0;                   ///< 0: all cores.
};

/// A run's stream, and what was taken of it. One thread at a time.
class StreamReader {
 public:
  /// Throws ConfigError: the run, its vocabulary or its shards are not as they should be, or `start` is not of this
  /// stream; Interrupted once `interrupted`. `wait_interrupted` ends a wait for rows: as DataPipeline's option.
  StreamReader(const StreamReading& reading, const std::atomic<bool>& interrupted,
               std::function<bool()> wait_interrupted);

  /// The next batch, shorter only at the end; empty at the end, or where the wait was interrupted. Throws DataError.
  std::optional<Batch> next();
  /// Wakes who waits in next(), from any thread. next() is empty from now on.
  void stop();
  /// Lines for the log about records that were rejected, since the last call.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

  /// Behind the last batch taken.
  const StreamState& state() const { return state_; }
  const RowNames& names() const { return names_; }
  const StreamConfig& config() const { return run_.stream; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  int batch_rows() const { return batch_rows_; }

 private:
  void tell(const StreamRow& row);
  void tell_end();

  const StreamOfRun run_;
  const Vocabulary vocabulary_;
  const int batch_rows_;
  RowNames names_;
  StreamState state_;
  bool interrupted_ = false;  ///< The last wait was.
  std::atomic<bool> stopped_ = false;
  bool told_end_ = false;
  RejectNotices reject_notices_;
  std::vector<std::string> notices_;
  std::optional<DataPipeline> pipeline_;
};

}  // namespace millrace
