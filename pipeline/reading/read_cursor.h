#pragma once

#include <cstdint>
#include <string>

#include "stages/records.h"

namespace millrace {

/// A record's place in the order in which its corpus is read.
struct ReadCursor {
  std::uint64_t epoch = 0;
  std::uint64_t shard_turn = 0;  ///< How many shards of this epoch came before.
  std::uint32_t shard = 0;       ///< Index in natural order.
  std::uint64_t block = 0;       ///< Record at which the block starts.
  std::uint64_t index = 0;       ///< In the block's shuffled order.
  SeekPoint seek;                ///< From where the block can be read.
};

/// Where a position was read from, for error messages: "FILE:LINE: corpora[2]". Empty: reached by the stream itself.
/// Ignored when positions are compared.
struct PositionSource {
  std::string place;

  bool operator==(const PositionSource& /*other*/) const { return true; }
  /// The complaint, preceded by the place or by "the position to start from".
  std::string told(const std::string& complaint) const;
};

/// Where reading a corpus begins or resumes.
struct ReadStart {
  ReadCursor at;
  bool within_document = false;  ///< Part of that record was already consumed.
  bool ended = false;            ///< The corpus has given all its epochs.
  PositionSource source;
};

/// A place between two records of a corpus that is read in shard and record order.
struct ScanCursor {
  std::uint64_t shard = 0;         ///< Index in RunCorpus::shards.
  std::uint64_t record = 0;        ///< As RecordLocation::record, of the next one.
  SeekPoint seek;                  ///< From where it can be read.
  bool is_readable = false;        ///< Something of the shard before it could be read.
  std::uint64_t bytes_behind = 0;  ///< Of the corpus's files; about, within a compressed one. For progress.
};

}  // namespace millrace
