#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "pipeline/corpora/corpus_set.h"
#include "pipeline/mix/encoded_record.h"
#include "pipeline/mix/prepared_phase.h"
#include "pipeline/mix/token_buffer.h"
#include "pipeline/rows/position.h"
#include "stages/records.h"

namespace millrace {

/// One corpus's segments between cutting and mixing, shuffled so that neighbours come from different documents, and the
/// corpus's position.
///
/// Which denoisers a corpus's next examples have, and so how long their segments are, is known ahead. So the segments
/// of a window are cut at once, in the order of reading, until they hold StreamConfig::shuffle_tokens ids; then those
/// of each denoiser are permuted among themselves. Lengths and shares stay what they are without shuffling. A window
/// lies in one epoch: of a segment that straddles two it is the only one. If at most half a window would be left of the
/// epoch, it belongs to the window: a short one would hold few documents. In another phase, what is left of a window
/// goes back to the buffer, and is cut again for that phase's denoisers before what is read next.
///
/// The permutation depends on (seed, corpus, phase, examples of the phase before the window) only. So a position is the
/// place where the window begins, and how many examples were given since: going on reads the window again. An error in
/// reading comes before the window that it cuts short, so that a run whose shards were mended has the same windows.
///
/// No thread of its own; not thread-safe. All but `start` outlives it.
class SegmentWindow {
 public:
  SegmentWindow(const StreamConfig& config, const RunCorpus& corpus, const std::vector<PreparedPhase>& plans,
                CorpusPosition start);

  /// Takes the next item in the order of reading.
  void arrive(EncodedRecord item) { buffer_.arrive(std::move(item)); }
  /// Credit that came free since the last call.
  std::uint64_t take_credit() { return buffer_.take_credit(); }

  /// Of the corpus's next example. REQUIRES: the position is in `phase`.
  std::size_t next_denoiser(std::uint32_t phase) const;
  /// Whether the next example's segment is there. Throws the corpus's error if it comes before, and DataError if the
  /// start position fits no window.
  TokenBuffer::Supply supply(std::uint32_t phase);
  /// The next example's segment; moves the position behind it. REQUIRES: Supply::enough.
  TokenBuffer::Cut take(std::uint32_t phase);

  /// The position's counters of a phase begin again.
  void begin_phase(std::uint32_t phase);
  /// The corpora's shares are told from here on: another corpus has closed.
  void begin_shares() { position_.phase_raw_tokens = 0; }

  /// Counts what is left as tail and closes the corpus. Returns the rejects among it. REQUIRES: Supply::ended.
  std::vector<Reject> close();
  /// The rejects before the corpus's error. REQUIRES: supply() threw.
  std::vector<Reject> take_rejects() { return buffer_.take_rejects(); }

  const CorpusPosition& position() const { return position_; }

 private:
  /// The longest window to come, as far as its epoch is known to reach.
  struct Outline {
    WindowPlace place;
    std::vector<std::uint64_t> examples;   ///< CorpusPosition::phase_examples behind it.
    std::vector<std::uint32_t> denoisers;  ///< Of its examples.
    std::uint64_t ids = 0;                 ///< That their segments take.
  };

  std::size_t denoiser_after(std::uint32_t phase, const std::vector<std::uint64_t>& examples) const;
  std::uint64_t length_of(std::uint32_t phase, std::size_t denoiser) const;
  bool is_longest(const Outline& outline) const;
  void extend(Outline& outline, std::uint64_t ids) const;
  TokenBuffer::Supply supply_of(Outline& outline) const;
  std::uint64_t cut(const Outline& outline);
  [[noreturn]] void refuse_start(const WindowPlace& window, std::size_t examples) const;
  void put_back();
  TokenBuffer::Cut take_of(std::size_t denoiser);

  const StreamConfig& config_;
  const RunCorpus& corpus_;
  const std::vector<PreparedPhase>& plans_;
  PositionSource start_source_;
  CorpusPosition position_;
  TokenBuffer buffer_;

  std::optional<Outline> next_;                        ///< Of the window that is cut next, while its ids are awaited.
  std::deque<WindowPlace> to_restore_;                 ///< Windows of the start position that are not yet cut again.
  std::uint32_t phase_ = 0;                            ///< Of the window.
  std::vector<std::optional<TokenBuffer::Cut>> cuts_;  ///< The window in the order of reading; empty: given.
  std::vector<std::deque<std::uint32_t>> order_;       ///< For each denoiser: which of cuts_ come next.
  std::size_t left_ = 0;                               ///< Of the window.
};

}  // namespace millrace
