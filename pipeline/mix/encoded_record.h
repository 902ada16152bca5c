#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "pipeline/reading/read_cursor.h"
#include "stages/records.h"

namespace millrace {

/// A record after encoding: its ids, or why it has none.
struct EncodedRecord {
  enum class Kind : std::uint8_t {
    document,
    held_out,
    filtered,
    skipped,
    rejected,
    shard_end,
    epoch_end,
    corpus_end,
    failure,
  };
  Kind kind = Kind::document;
  ReadCursor place;
  std::vector<LaneMove> ended_lanes;  ///< As ReadRecord::ended_lanes.
  ScanCursor after;                   ///< As ReadRecord::after.
  RecordLocation where;               ///< Kind::document: as Document::where.
  std::vector<std::string> fields;    ///< Likewise, as Document::fields.
  std::uint64_t bytes = 0;            ///< RecordLocation::size of a record that was not rejected.
  std::vector<TokenId> tokens;        ///< Kind::document: not empty.
  std::uint64_t first_token = 0;      ///< Where in the document's ids `tokens` begins.
  std::uint64_t dropped_tokens = 0;   ///< Ids of the document that are not in `tokens`.
  std::vector<Reject> rejects;        ///< Container damage before this record, then the record's own reject.
  std::exception_ptr failure;         ///< Kind::failure.
  std::uint64_t credit = 1;           ///< Reader credits it holds: returned when the document is consumed.
};

}  // namespace millrace
