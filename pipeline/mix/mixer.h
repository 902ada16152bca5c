#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/prepared_phase.h"
#include "pipeline/mix/segment_window.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"
#include "stages/objectives/segment_to_example.h"

namespace millrace {

/// The segment of one example; or the stream's end, or the error that ends it. With the rejects before it.
struct MixedSegment {
  enum class Kind : std::uint8_t { example, end, failure };
  Kind kind = Kind::example;
  std::uint64_t number = 0;  ///< Counted since the mixer was made: restores the order after parallel work.
  std::uint64_t row = 0;     ///< The row that holds the example.
  bool ends_row = false;     ///< No further example fits.
  Segment segment;
  ExampleOrigin origin;
  std::vector<Reject> rejects;
  std::vector<std::uint32_t> reject_corpora;
  /// The position after `row` if this example is its last; at the end, the final position.
  std::shared_ptr<const StreamPosition> after;
  std::exception_ptr failure;
};

/// The serial part of the stream: takes the documents of every corpus as they arrive, chooses examples by quota, takes
/// them strictly in order and assigns each to a row. The open row takes the next example if it fits; else, or if a
/// corpus must be closed first, the row is closed. Phases change between rows only. So the position after a row's last
/// example determines all that follows. What the mixer yields depends on the documents' order per corpus only, never on
/// their timing. Not thread-safe; knows nothing of the graph.
class Mixer {
 public:
  Mixer(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const std::vector<PreparedPhase>& plans,
        StreamPosition start);

  /// Takes an encoded record of a corpus.
  void arrive(std::size_t corpus, EncodedRecord item);
  /// The next segment, or nothing if documents must arrive first. After an end or a failure: nothing.
  std::optional<MixedSegment> next();
  /// Credits of a corpus freed since the last call.
  std::uint64_t take_credit(std::size_t corpus);

 private:
  struct Choice {
    std::size_t corpus;
    std::size_t denoiser;
  };
  bool enter_phase();
  std::optional<Choice> choose() const;
  int length_of(const Choice& choice) const;
  MixedSegment cut(const Choice& choice);
  bool close(std::size_t corpus);
  MixedSegment last(MixedSegment::Kind kind, std::exception_ptr failure);
  std::shared_ptr<const StreamPosition> position_now();
  void note_rejects(std::size_t corpus, std::vector<Reject> rejects);

  const StreamConfig& config_;
  const std::vector<RunCorpus>& corpora_;
  const std::vector<PreparedPhase>& plans_;
  StreamPosition position_;            ///< Its corpora are kept by the windows.
  std::deque<SegmentWindow> windows_;  ///< One a corpus.
  std::optional<Choice> choice_;
  int room_ = 0;  ///< Positions left in the open row; 0: none is open. Of position_.row the open one is the last.
  std::vector<Reject> rejects_;
  std::vector<std::uint32_t> reject_corpora_;
  std::uint64_t segments_ = 0;
  bool finished_ = false;
};

}  // namespace millrace
