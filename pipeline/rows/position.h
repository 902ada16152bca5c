#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/corpora/record_counts.h"
#include "pipeline/reading/read_cursor.h"
#include "stages/records.h"

namespace millrace {

class JsonValue;

/// How far one corpus has been read: how far each lane in epoch `epoch`, and how much of the next record of lane
/// `lane`.
struct ReadingPlace {
  std::uint64_t epoch = 0;
  std::vector<LaneCursor> lanes;  ///< Those behind the last one are at their beginning.
  std::uint32_t lane = 0;         ///< With offset > 0: the lane of the document that was begun.
  std::uint64_t offset = 0;       ///< Equal to the document's length when only its separator is still to come.
  RecordCounts records;           ///< Before this place, since the run began.

  bool operator==(const ReadingPlace&) const = default;
};

/// A window of shuffled segments, see SegmentWindow, of which examples were given.
struct WindowPlace {
  std::uint32_t phase = 0;
  std::uint64_t epoch = 0;
  std::vector<std::uint64_t> examples;  ///< CorpusPosition::phase_examples at its beginning.
  std::uint64_t given = 0;              ///< Examples made from it.

  bool operator==(const WindowPlace&) const = default;
};

/// How far one corpus has been consumed. Its segments are shuffled in windows, so it is not told by a place alone.
struct CorpusPosition {
  std::string corpus;
  ReadingPlace place;                  ///< Everything that was read before it has been given.
  std::vector<WindowPlace> windows;    ///< Those that began behind it, in order; the last may be given in part, of the
                                       ///< others the rest has been cut again. Empty: nothing behind it was given.
  bool open = true;                    ///< False once max_epochs is reached.
  std::uint64_t raw_tokens = 0;        ///< Given since the run began.
  std::uint64_t tail_tokens = 0;       ///< Left over when the corpus closed: too few for an example.
  std::uint64_t tail_documents = 0;    ///< Documents whose first token is in the tail.
  std::uint64_t phase_raw_tokens = 0;  ///< Given since the phase, or the last redistribution, began.
  std::vector<std::uint64_t> phase_examples;  ///< Per denoiser of the phase's objective, since the phase began.
  RecordCounts records;  ///< Told since the run began: the documents begun, and what was passed over on the way.
  PositionSource source;

  /// Of the last example, or of the first if there is none yet.
  std::uint64_t epoch() const { return windows.empty() ? place.epoch : windows.back().epoch; }
  /// Where its reader resumes.
  ReadStart read_start() const {
    return {place.epoch, place.lanes, place.offset > 0 ? std::optional(place.lane) : std::nullopt, !open, source};
  }
  bool operator==(const CorpusPosition&) const = default;
};

/// A place in the stream of rows: the state before the first example that is in no row < `row`.
/// Restarting here yields the same rows as if there had been no stop.
struct StreamPosition {
  std::uint64_t row = 0;      ///< Rows before this place.
  std::uint64_t example = 0;  ///< Examples before this place.
  std::uint32_t phase = 0;
  std::vector<CorpusPosition> corpora;  ///< One per corpus of the run, in the order of first mention.
  PositionSource source;

  bool operator==(const StreamPosition&) const = default;
};

void to_json(nlohmann::ordered_json& json, const LaneCursor& lane);
void from_json(const JsonValue& json, LaneCursor& lane);
void to_json(nlohmann::ordered_json& json, const WindowPlace& window);
void from_json(const JsonValue& json, WindowPlace& window);
void to_json(nlohmann::ordered_json& json, const ReadingPlace& place);
void from_json(const JsonValue& json, ReadingPlace& place);
void to_json(nlohmann::ordered_json& json, const CorpusPosition& position);
void from_json(const JsonValue& json, CorpusPosition& position);
void to_json(nlohmann::ordered_json& json, const StreamPosition& position);
void from_json(const JsonValue& json, StreamPosition& position);

/// A position whose corpora name their places by numbers, one each, for many positions that share places. A number is
/// an index in the list that reading is given.
nlohmann::ordered_json position_json(const StreamPosition& position, const std::vector<std::uint64_t>& places);
StreamPosition position_from_json(const JsonValue& json, const std::vector<ReadingPlace>& places);

}  // namespace millrace
