#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/config/stream_config.h"

namespace millrace {

/// What decides a run's rows besides the shards' bytes and the vocabulary, as names and texts in a fixed order. Where
/// the last phase ends is left out: it only says how many rows there are; and so is what is done about bad data, which
/// only says where to stop.
using StreamIdentity = std::vector<std::pair<std::string, std::string>>;
StreamIdentity identity_of(const StreamConfig& config);

/// The sequence length and the phases that facts_of told; all else is left at its default. Throws ConfigError naming
/// `where` if the facts are no stream's.
StreamConfig phases_in(const StreamIdentity& facts, const std::string& where);

/// xxh3_64 of all names and texts, as 16 hex digits.
std::string hash_of(const StreamIdentity& facts);

/// What is not the same, a line each: "seed: 3 there, 4 here"; of longer texts the lines that only one of them has.
/// Empty if both are the same stream.
std::vector<std::string> differences_of(const StreamIdentity& there, const StreamIdentity& here);

}  // namespace millrace
