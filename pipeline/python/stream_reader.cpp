#include "pipeline/python/stream_reader.h"

#include <utility>

#include <fmt/format.h>

#include "pipeline/json_value.h"
#include "pipeline/rows/start_position.h"
#include "stages/errors.h"

namespace millrace {
namespace {

int batch_rows_of(const StreamOfRun& run, int asked) {
  if (asked > 0) return asked;
  if (run.batch_rows) return *run.batch_rows;
  throw ConfigError(
      fmt::format("{}: has no [train] batch_rows: say how many rows a batch is to have, as in "
                  "batch_rows=8",
                  run.file.string()));
}

/// Stands in messages for the file that a state was read from.
constexpr const char* kStart = "start";

}  // namespace

StreamReader::StreamReader(const StreamReading& reading, const std::atomic<bool>& interrupted,
                           std::function<bool()> wait_interrupted)
    : run_(open_run(reading.run)), vocabulary_(run_.vocabulary), batch_rows_(batch_rows_of(run_, reading.batch_rows)) {
  if (!vocabulary_.slow_because().empty())
    notices_.push_back(
        fmt::format("{}: encoded by libsentencepiece, some ten times as slowly as a unigram vocabulary: {}",
                    run_.vocabulary.string(), vocabulary_.slow_because()));
  const std::vector<RunCorpus> corpora = corpora_of(run_.stream, FindShards::yes);
  if (!run_.folder.empty()) expect_recorded_shards(run_.folder, run_.stream, corpora, interrupted);
  names_ = row_names(run_.stream, corpora);
  state_.vocabulary = vocabulary_.hash();
  state_.run = state_facts(run_.stream);
  state_.shards = shard_hashes(run_.stream, corpora, interrupted);
  state_.position = start_of(run_.stream, corpora);
  std::optional<StreamPosition> position;
  if (reading.start) {
    const auto start = JsonValue::parse(*reading.start, {kStart, 0, ""}).as<StreamState>();
    expect_same_stream(start, state_, run_.stream.sequence_length);
    position = state_.position = adapted_position(start.position, run_.stream, corpora);
    state_.ledger = start.ledger;
  }
  for (const CorpusPosition& corpus : state_.position.corpora)
    reject_notices_.begin(corpus.corpus, corpus.records.rejected);
  DataPipeline::Options options;
  options.threads = reading.threads;
  options.batch_rows = batch_rows_;
  options.interrupted = [this, ask = std::move(wait_interrupted)] { return interrupted_ = ask(); };
  pipeline_.emplace(run_.stream, corpora, vocabulary_, position, options);
}

std::optional<Batch> StreamReader::next() {
  std::optional<Batch> batch;
  interrupted_ = false;
  try {
    batch = pipeline_->next();
  } catch (const DataError&) {
    tell_end();
    throw;
  }
  if (!batch) {
    if (!interrupted_ && !stopped_) tell_end();
    return batch;
  }
  for (const StreamRow& row : *batch) {
    state_.ledger.add(row);
    tell(row);
  }
  state_.position = *batch->back().after;
  return batch;
}

void StreamReader::stop() {
  stopped_ = true;
  pipeline_->stop();
}

/// What lies behind the last row. The state stays where the last row ended: from there the end is found again.
void StreamReader::tell_end() {
  if (!std::exchange(told_end_, true)) tell(pipeline_->end());
}

void StreamReader::tell(const StreamRow& row) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i)
    if (auto line = reject_notices_.line(names_.corpora.at(row.reject_corpora.at(i)), row.rejects[i]))
      notices_.push_back(std::move(*line));
}

}  // namespace millrace
