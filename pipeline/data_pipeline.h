#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/ledger.h"
#include "pipeline/position.h"
#include "pipeline/reject_json.h"
#include "pipeline/reject_notices.h"
#include "pipeline/stream_config.h"
#include "stages/document_to_tokens.h"
#include "stages/records.h"

namespace millrace {

/// Where an example of a row came from.
struct ExampleOrigin {
  std::uint64_t example = 0;  ///< Number in the stream.
  std::uint32_t phase = 0;
  std::uint32_t corpus = 0;          ///< Index in DataPipeline::corpora().
  std::uint32_t denoiser = 0;        ///< Index in the phase's objective.
  std::uint64_t raw_tokens = 0;      ///< Ids of documents that were taken for it.
  std::uint64_t segment_tokens = 0;  ///< ... with separators: its part of StreamRow::raw_tokens.
  std::uint64_t trimmed_tokens = 0;  ///< Of those, tokens that found no place in it: Example::trimmed.
  std::uint64_t loss_tokens = 0;
  std::uint64_t documents_begun = 0;  ///< Documents of which the first token that is read is in this example.
  std::uint32_t first = 0;            ///< Where in the row its inputs begin; behind them stand its targets.
  std::uint32_t inputs = 0;           ///< Positions.
  std::uint32_t targets = 0;          ///< Positions.
  std::vector<DocumentSpan> documents;

  bool operator==(const ExampleOrigin&) const = default;
};

/// A row, its number, and the story of where it came from.
struct StreamRow {
  std::uint64_t number = 0;
  Row row;
  std::vector<TokenId> raw_tokens;  ///< What the row's examples were made from, with separators, in their order.
  std::vector<ExampleOrigin> examples;
  std::vector<Reject> rejects;  ///< Passed over since the row before; `corpus` of each in reject_corpora.
  std::vector<std::uint32_t> reject_corpora;
  std::shared_ptr<const Position> after;  ///< The position behind this row.
};

using Batch = std::vector<StreamRow>;

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
