#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// A reject as a line of rejects.jsonl, without the newline:
/// {"shard", "record", "line", "byte", "cause", "reason", "lost_bytes", "lost_records", "lost_content"}, the last two
/// of its loss. Bytes that are no UTF-8 are replaced.
std::string to_json(const Reject& reject);

/// The cause of that name, if there is one.
std::optional<RejectCause> cause_named(const std::string& name);

/// How many rejects there are, by cause.
using RejectCounts = std::array<std::uint64_t, kRejectCauses>;

/// {"CAUSE": n, ...} of the causes that occur, and back. Throws ConfigError if a name is no cause's.
nlohmann::ordered_json reject_counts_json(const RejectCounts& counts);
RejectCounts reject_counts_of(const JsonValue& json);

/// The rejects of a rejects.jsonl. Throws ConfigError naming `file` and the line that is none.
std::vector<Reject> rejects_from_jsonl(const std::string& text, const std::string& file);

}  // namespace millrace
