#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// How far a lane has been read: shards that stand one behind another, see ReadingPlan.
struct LaneCursor {
  std::uint64_t turn = 0;      ///< Which of the lane's shards, counted from 0; their number when all are read.
  std::uint64_t block = 0;     ///< Record at which the block starts.
  std::uint64_t index = 0;     ///< Of the next record, in the block's shuffled order.
  SeekPoint seek;              ///< From where the block can be read without what stands before it.
  bool is_bad_so_far = false;  ///< Nothing of the shard before the block could be read, though there is something.

  bool operator==(const LaneCursor&) const = default;
};

/// A record's place in the order in which its corpus is read.
struct ReadCursor {
  std::uint64_t epoch = 0;
  std::uint32_t lane = 0;
  std::uint32_t shard = 0;  ///< Index in natural order.
  LaneCursor at;            ///< Of the lane, before this record.
};

/// A lane that was moved to another place.
struct LaneMove {
  std::uint32_t lane = 0;
  LaneCursor to;
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
  std::uint64_t epoch = 0;
  std::vector<LaneCursor> lanes;            ///< Empty: the epoch's beginning.
  std::optional<std::uint32_t> begun = {};  ///< The lane whose next record was consumed in part.
  bool ended = false;                       ///< The corpus has given all its epochs.
  PositionSource source = {};
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
