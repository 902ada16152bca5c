#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pipeline/rows/mixing_record.h"
#include "pipeline/rows/stream_row.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/run/recorded_run.h"

namespace millrace {

/// Which rows of a run are made again, and how.
struct RowsAgain {
  std::uint64_t first = 0;
  std::uint64_t end = 0;  ///< Behind the last one.
  int threads = 0;        ///< Of the pipeline; 0: all cores.
  bool counting = false;  ///< Shows progress while they are used, not just on the way to them.
};

/// Calls `use` with the rows in order. They end earlier where the stream does. Throws ConfigError if it ends before the
/// first; Interrupted.
void make_rows_again(const RecordedRun& recorded, const Vocabulary& vocabulary, const RowsAgain& rows,
                     const std::function<void(const StreamRow&)>& use);

/// By shard, and by the field `by` (empty: none), for which the corpus's shards are read. Where an index counts the
/// corpus's tokens, values know those of an epoch. The run and the vocabulary must outlive the result.
PropertiesOf recorded_properties(const RecordedRun& recorded, const Vocabulary& vocabulary, const std::string& by,
                                 int threads);

}  // namespace millrace
