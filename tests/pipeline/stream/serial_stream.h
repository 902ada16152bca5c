#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "pipeline/mix/mixer.h"
#include "pipeline/mix/record_to_tokens.h"
#include "pipeline/reading/corpus_reader.h"
#include "pipeline/rows/start_position.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {

/// The stream's segments on the calling thread: the mixer without the graph, with a few credits per corpus.
class SerialStream {
 public:
  /// The next item of a corpus, numbered in order; empty at the corpus's end.
  using Source = std::function<std::optional<EncodedRecord>(std::size_t corpus)>;

  /// Over the configuration's shards.
  explicit SerialStream(const StreamConfig& config) : SerialStream(config, nullptr, FindShards::yes) {
    const StreamPosition start = start_of(config_, corpora_);
    reading_ = reading_plans(config_, corpora_);
    for (std::size_t i = 0; i < corpora_.size(); ++i)
      readers_.emplace_back(config_, corpora_[i], reading_[i], start.corpora[i].read_start());
    source_ = [this](std::size_t corpus) -> std::optional<EncodedRecord> {
      ReadRecord item;
      if (!readers_[corpus].next(item)) return std::nullopt;
      return record_to_tokens(std::move(item), tiny_vocabulary(),
                              {config_.holdout, corpora_[corpus].corpus.max_epochs, config_.seed, corpora_[corpus].id});
    };
  }
  SerialStream(const StreamConfig& config, Source source) : SerialStream(config, std::move(source), FindShards::no) {}
  SerialStream(const SerialStream&) = delete;
  SerialStream& operator=(const SerialStream&) = delete;

  /// Empty at the stream's end.
  std::optional<MixedSegment> next() {
    for (;;) {
      std::optional<MixedSegment> ticket = mixer_.next();
      if (ticket && ticket->kind == MixedSegment::Kind::failure) std::rethrow_exception(ticket->failure);
      if (ticket && ticket->kind == MixedSegment::Kind::end) return std::nullopt;
      if (ticket) return ticket;
      if (!feed()) throw std::logic_error("the stream hangs: nobody has a credit");
    }
  }

  const PreparedPhase& plan(std::size_t phase) const { return plans_[phase]; }

 private:
  SerialStream(const StreamConfig& config, Source source, FindShards find)
      : config_(config),
        corpora_(corpora_of(config_, find)),
        plans_(prepare_phases(config_, corpora_, tiny_vocabulary())),
        mixer_(config_, corpora_, plans_, start_of(config_, corpora_)),
        credits_(corpora_.size(), 4),
        source_(std::move(source)) {}

  bool feed() {
    bool fed = false;
    for (std::size_t i = 0; i < credits_.size(); ++i) {
      credits_[i] += mixer_.take_credit(i);
      if (credits_[i] == 0) continue;
      std::optional<EncodedRecord> item = source_(i);
      if (!item) continue;
      --credits_[i];
      fed = true;
      mixer_.arrive(i, std::move(*item));
    }
    return fed;
  }

  const StreamConfig config_;
  const std::vector<RunCorpus> corpora_;
  const std::vector<PreparedPhase> plans_;
  Mixer mixer_;
  std::vector<ReadingPlan> reading_;
  std::vector<CorpusReader> readers_;
  std::vector<std::uint64_t> credits_;
  Source source_;
};

}  // namespace millrace
