#pragma once

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/stream_row.h"

namespace millrace {

class JsonValue;

/// A StreamRow without its number and arrays: where the row came from, the rejects before it, and the position after
/// it.
nlohmann::ordered_json provenance_json(const StreamRow& row);

/// Fills `row` from what provenance_json wrote. Throws ConfigError if it is malformed.
void add_provenance(StreamRow& row, const JsonValue& provenance);

/// Provenance without the raw tokens and the position, for what keeps them in another way.
nlohmann::ordered_json origins_json(const StreamRow& row);
void add_origins(StreamRow& row, const JsonValue& origins);

void to_json(nlohmann::ordered_json& json, const ExampleOrigin& origin);
void from_json(const JsonValue& json, ExampleOrigin& origin);
void to_json(nlohmann::ordered_json& json, const DocumentSpan& span);
void from_json(const JsonValue& json, DocumentSpan& span);

}  // namespace millrace
