#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/rows/position.h"
#include "trainer/config/run_config.h"

namespace millrace {

/// A run whose rows are to be recomputed: one that was trained, or a run file that never ran.
struct RecordedRun {
  RunConfig run;                          ///< Its stream is trained_stream().
  std::vector<RunCorpus> corpora;         ///< Of that stream, with their shards.
  bool has_run = false;                   ///< True: a run folder. False: a run file, and the members below are empty.
  std::vector<StreamPosition> positions;  ///< From positions.jsonl, in row order.
  std::optional<std::uint64_t> rows_trained;  ///< According to metrics.jsonl.

  std::uint64_t rows() const;  ///< Of the whole stream.
  /// The last recorded position at or before a row; empty: the stream's beginning.
  std::optional<StreamPosition> position_before(std::uint64_t row) const;
};

/// Reads a run file, or a run folder's records. Throws ConfigError as load_run does; if the shards are not those that
/// the run was trained on, naming them; or if it was trained with another version of the stream.
RecordedRun open_recorded(const RunSource& options);

}  // namespace millrace
