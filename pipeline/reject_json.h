#pragma once

#include <optional>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// A reject as a line of rejects.jsonl, without the newline:
/// {"shard", "record", "line", "byte", "cause", "reason", "lost_bytes", "lost_records", "lost_content"}, the last two
/// of its loss. Bytes that are no UTF-8 are replaced.
std::string to_json(const Reject& reject);

/// The cause of that name, if there is one.
std::optional<RejectCause> cause_named(const std::string& name);

/// The rejects of a rejects.jsonl. Throws ConfigError naming `file` and the line that is none.
std::vector<Reject> rejects_from_jsonl(const std::string& text, const std::string& file);

}  // namespace millrace
