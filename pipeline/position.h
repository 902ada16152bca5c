#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// What became of a corpus's records, in stream order.
struct RecordCounts {
  std::uint64_t read = 0;  ///< Documents, and those held out, filtered, skipped and rejected.
  std::uint64_t held_out = 0;
  std::uint64_t filtered = 0;  ///< Left out by the corpus's keep, drop or where.
  std::uint64_t skipped = 0;   ///< Left out of a fractional epoch.
  std::uint64_t rejected_records = 0;
  std::array<std::uint64_t, kRejectCauses> rejected{};  ///< By cause; with damage of containers, which is no record.
  std::uint64_t bytes = 0;                              ///< Of content, of the records that were not rejected.
  Loss lost{0, 0};                                      ///< What the rejects stand for.
  std::uint64_t shortened = 0;       ///< Documents longer than max_document_tokens, of which one chunk is read.
  std::uint64_t dropped_tokens = 0;  ///< Their ids outside that chunk.

  std::uint64_t rejected_total() const;
  /// What could be read.
  Loss sound() const { return {read - rejected_records, bytes}; }
  RecordCounts& operator+=(const RecordCounts& other);
  bool operator==(const RecordCounts&) const = default;
};

/// Where a position was read, for complaints about it: "FILE:LINE: corpora[2]". Empty: a stream came to it. Of no
/// matter for which position it is.
struct PositionSource {
  std::string place;

  bool operator==(const PositionSource& /*other*/) const { return true; }
  /// The complaint behind the place, or behind "the position to start from".
  std::string told(const std::string& complaint) const;
};

/// How far one corpus has been consumed. The next token is token `offset` of the `index`-th record, in shuffled
/// order, of the block that starts at record `block` of the `shard`-th shard (natural order) in epoch `epoch`.
struct CorpusPosition {
  std::string corpus;
  std::uint64_t epoch = 0;
  std::uint64_t shard_turn = 0;  ///< How many shards of this epoch came before.
  std::uint64_t block = 0;
  SeekPoint seek;  ///< From where the block can be read without what stands before it.
  std::uint64_t index = 0;
  std::uint64_t offset = 0;            ///< Equal to the document's length when only its separator is still to come.
  bool open = true;                    ///< False once max_epochs is reached.
  std::uint64_t raw_tokens = 0;        ///< Since the run began.
  std::uint64_t tail_tokens = 0;       ///< Left over when the corpus closed: too few for an example.
  std::uint64_t tail_documents = 0;    ///< Of these, documents of which no example has a token.
  std::uint64_t phase_raw_tokens = 0;  ///< Since the phase, or the last redistribution, began.
  std::vector<std::uint64_t> phase_examples;  ///< Per denoiser of the phase's objective, likewise.
  RecordCounts records;                       ///< Since the run began.
  PositionSource source;

  bool operator==(const CorpusPosition&) const = default;
};

/// A place in the stream of rows: the state before the first example that is in no row < `row`.
/// Restarting here yields the same rows as if there had been no stop.
struct Position {
  std::uint64_t row = 0;      ///< Rows before this place.
  std::uint64_t example = 0;  ///< Examples before this place.
  std::uint32_t phase = 0;
  std::vector<CorpusPosition> corpora;  ///< One per corpus of the run, in the order of first mention.
  PositionSource source;

  bool operator==(const Position&) const = default;
};

/// One line of JSON, and back. Throws ConfigError if it is no position; a text without a source is called "position".
std::string to_json(const Position& position);
Position position_from_json(const JsonValue& json);
Position position_from_json(const std::string& json);

}  // namespace millrace
