#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/reading/read_cursor.h"
#include "pipeline/corpora/record_counts.h"
#include "stages/records.h"

namespace millrace {

class JsonValue;

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
  std::uint64_t tail_documents = 0;    ///< Documents in the tail of which no example has a token.
  std::uint64_t phase_raw_tokens = 0;  ///< Since the phase, or the last redistribution, began.
  std::vector<std::uint64_t> phase_examples;  ///< Per denoiser of the phase's objective, likewise.
  RecordCounts records;                       ///< Since the run began.
  PositionSource source;

  /// Where its reader resumes.
  ReadStart read_start() const { return {{epoch, shard_turn, 0, block, index, seek}, offset > 0, !open, source}; }
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

void to_json(nlohmann::ordered_json& json, const CorpusPosition& position);
void from_json(const JsonValue& json, CorpusPosition& position);
void to_json(nlohmann::ordered_json& json, const StreamPosition& position);
void from_json(const JsonValue& json, StreamPosition& position);

}  // namespace millrace
