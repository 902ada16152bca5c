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

/// A reject as a line of rejects.jsonl: {"shard", "record", "line", "byte", "cause", "reason", "lost_bytes",
/// "lost_records", "lost_content"}, the last two of its loss.
void to_json(nlohmann::ordered_json& json, const Reject& reject);
void from_json(const JsonValue& json, Reject& reject);

/// The cause of that name, if there is one.
std::optional<RejectCause> cause_named(const std::string& name);

/// How many rejects there are, by cause.
using RejectCounts = std::array<std::uint64_t, kRejectCauses>;

/// {"CAUSE": n, ...} of the causes that occur, and back. Throws ConfigError if a name is no cause's.
nlohmann::ordered_json reject_counts_json(const RejectCounts& counts);
RejectCounts reject_counts_of(const JsonValue& json);

/// Rejects, one JSON object a line, and back. Throws ConfigError naming `file` and the line that is none.
std::string to_jsonl(const std::vector<Reject>& rejects);
std::vector<Reject> rejects_from_jsonl(const std::string& text, const std::string& file);

}  // namespace millrace
