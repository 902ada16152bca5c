#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/prepared_phase.h"
#include "pipeline/mix/token_buffer.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"
#include "stages/objectives/segment_to_example.h"

namespace millrace {

/// One example, decided and cut: or the stream's end, or the error that ends it, with what was passed over before it.
struct MixedSegment {
  enum class Kind : std::uint8_t { example, end, failure };
  Kind kind = Kind::example;
  std::uint64_t number = 0;  ///< Since the mixer was made: what puts tickets back in order.
  std::uint64_t row = 0;     ///< That the example stands in.
  bool ends_row = false;     ///< No other example has room behind it.
  Segment segment;
  ExampleOrigin origin;
  std::vector<Reject> rejects;
  std::vector<std::uint32_t> reject_corpora;
  /// The position behind `row`, should this example be its last; of an end, what the stream's end has come to.
  std::shared_ptr<const StreamPosition> after;
  std::exception_ptr failure;
};

/// The serial heart of the stream: takes every corpus's documents as they come, decides examples by quota, cuts them
/// strictly in order, and says in which row each stands. An open row takes the next example if that fits; it is closed
/// if it does not, or if a corpus must be closed first. Phases change between rows only. So what comes behind a row
/// follows from the position behind its last example. What the mixer yields depends on the documents' order per corpus
/// only, never on their timing. Not thread-safe; knows nothing of the graph.
class Mixer {
 public:
  Mixer(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const std::vector<PreparedPhase>& plans,
        StreamPosition start);

  /// Takes an encoded record of a corpus.
  void arrive(std::size_t corpus, EncodedRecord item);
  /// The next ticket, or nothing if documents must arrive first. After an end or a failure: nothing.
  std::optional<MixedSegment> next();
  /// Credit of a corpus that came free since last asked.
  std::uint64_t take_credit(std::size_t corpus);

 private:
  struct Choice {
    std::size_t corpus;
    std::size_t denoiser;
  };
  bool enter_phase();
  std::optional<Choice> choose() const;
  std::size_t choose_denoiser(std::size_t corpus) const;
  int length_of(const Choice& choice) const;
  MixedSegment cut(const Choice& choice);
  bool close(std::size_t corpus);
  void restart_counters();
  MixedSegment last(MixedSegment::Kind kind, std::exception_ptr failure);
  std::shared_ptr<const StreamPosition> position_now();
  void note_rejects(std::size_t corpus, std::vector<Reject> rejects);

  const StreamConfig& config_;
  const std::vector<RunCorpus>& corpora_;
  const std::vector<PreparedPhase>& plans_;
  StreamPosition position_;  ///< Its corpora are kept by the buffers.
  std::vector<TokenBuffer> buffers_;
  std::vector<std::uint64_t> credit_;
  std::optional<Choice> choice_;
  int room_ = 0;  ///< Positions left in the open row; 0: none is open. Of position_.row the open one is the last.
  std::vector<Reject> rejects_;
  std::vector<std::uint32_t> reject_corpora_;
  std::uint64_t tickets_ = 0;
  bool finished_ = false;
};

}  // namespace millrace
