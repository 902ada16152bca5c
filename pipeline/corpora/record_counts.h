#pragma once

#include <array>
#include <cstdint>

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// What happened to a corpus's records, in stream order.
struct RecordCounts {
  std::uint64_t read = 0;  ///< Documents, and those held out, filtered, skipped and rejected.
  std::uint64_t held_out = 0;
  std::uint64_t filtered = 0;  ///< Left out by the corpus's keep, drop or where.
  std::uint64_t skipped = 0;   ///< Left out by a fractional epoch.
  std::uint64_t rejected_records = 0;
  std::array<std::uint64_t, kRejectCauses> rejected{};  ///< By cause; includes damage of containers.
  std::uint64_t bytes = 0;                              ///< Of content, of the records that were not rejected.
  Loss lost{0, 0};                                      ///< Sum of the rejects' losses.
  std::uint64_t shortened = 0;       ///< Documents longer than max_document_tokens, of which one chunk is read.
  std::uint64_t dropped_tokens = 0;  ///< Their ids outside that chunk.

  std::uint64_t rejected_total() const;
  /// What could be read.
  Loss sound() const { return {read - rejected_records, bytes}; }
  RecordCounts& operator+=(const RecordCounts& other);
  bool operator==(const RecordCounts&) const = default;
};

void to_json(nlohmann::ordered_json& json, const RecordCounts& counts);
void from_json(const JsonValue& json, RecordCounts& counts);

}  // namespace millrace
