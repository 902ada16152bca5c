#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/corpora/corpus_set.h"
#include "pipeline/job.h"
#include "pipeline/reading/lanes.h"
#include "pipeline/rows/position.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Rows [from, to), made again by a stream that begins at `start` (row `from`; empty: the stream's beginning).
struct RowRange {
  std::optional<StreamPosition> start;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

/// The only rows below `end` that can hold tokens of a document: between those of the recorded positions (in the order
/// of their rows) that its block lies between, in every epoch. Ranges in order, neighbours joined.
/// `shard`: index in corpus.shards; `record`: as RecordLocation::record.
std::vector<RowRange> rows_that_may_hold(const RunCorpus& corpus, const ReadingPlan& plan, std::uint32_t shard,
                                         std::uint64_t record, std::uint64_t seed,
                                         const std::vector<StreamPosition>& recorded, std::uint64_t end);

/// A shard's place in the corpora of a run.
struct ShardOfCorpus {
  std::size_t corpus = 0;   ///< Index in the run's corpora.
  std::uint32_t shard = 0;  ///< Index in the corpus's shards.
};

/// The corpora that a shard belongs to, in their order. `shard`: as in RunCorpus::shards. Throws ConfigError if there
/// is none.
std::vector<ShardOfCorpus> corpora_with(const std::vector<RunCorpus>& corpora, const std::string& shard);

/// Part of a document that a row holds.
struct DocumentHit {
  std::uint64_t row = 0;
  std::uint64_t example = 0;
  std::uint64_t epoch = 0;
  std::uint32_t phase = 0;
  std::string denoiser;
  std::uint64_t from = 0, to = 0;  ///< Tokens of the document.
};

/// A document of one corpus, and the rows that held it.
struct FoundDocument {
  std::string corpus;
  std::string shard;               ///< As in RunCorpus::shards.
  std::uint64_t record = 0;        ///< As RecordLocation::record.
  std::string never_read_because;  ///< Why it can be in no row; empty: it can.
  std::vector<DocumentHit> hits;
};

/// Where documents are looked for: in the stream's first `end` rows, which are made again near the recorded positions
/// (in the order of their rows). All must outlive the search.
struct SearchedRows {
  const StreamConfig& config;
  const std::vector<RunCorpus>& corpora;  ///< With their shards.
  const Vocabulary& vocabulary;
  const std::vector<StreamPosition>& recorded;
  std::uint64_t end = 0;
  int threads = 0;  ///< 0: all cores.
};

/// Searches for a record of a corpus's shard. Throws ConfigError if the shard has not so many records; Interrupted; and
/// what the stream throws.
FoundDocument find_document(const SearchedRows& rows, ShardOfCorpus shard, std::uint64_t record,
                            const JobCallbacks& callbacks);

}  // namespace millrace
