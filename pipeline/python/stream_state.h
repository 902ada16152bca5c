#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

class JsonValue;

/// Where a stream stands, and of what it is: all that is needed to go on, in this process or another one. A
/// checkpoint's says nothing of `run` and `shards`, a position that the program printed nothing of the vocabulary
/// either.
struct StreamState {
  int stream_version = kStreamVersion;
  std::string vocabulary;                     ///< Its hash; empty: not known.
  std::map<std::string, std::string> run;     ///< stream_identity's facts; the text of a longer one as its hash.
  std::map<std::string, std::string> shards;  ///< shard_hashes().
  StreamPosition position;
  Ledger ledger;  ///< Of the rows before the position.
};

/// The facts that a state holds of a stream.
std::map<std::string, std::string> state_facts(const StreamConfig& config);

void to_json(nlohmann::ordered_json& json, const StreamState& state);
/// Takes what to_json wrote, with or without `run` and `shards`, or a position as the program writes it (a line of
/// positions.jsonl). Of another version of the stream only that is read.
void from_json(const JsonValue& json, StreamState& state);

/// Throws ConfigError, naming what differs, unless `state` is one of the stream that `here` is at the beginning of.
/// Phases behind the state's may differ, and the phase that it is in may end elsewhere behind it.
void expect_same_stream(const StreamState& state, const StreamState& here, int sequence_length);

}  // namespace millrace
