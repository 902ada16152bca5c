#pragma once

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/stream_row.h"

namespace millrace {

class JsonValue;

/// Everything of a StreamRow but its number and its arrays: where the row came from, what was passed over before it,
/// and the position behind it.
nlohmann::ordered_json provenance_json(const StreamRow& row);

/// Fills `row` with what story_of told. Throws ConfigError if it is no story.
void add_provenance(StreamRow& row, const JsonValue& story);

void to_json(nlohmann::ordered_json& json, const ExampleOrigin& origin);
void from_json(const JsonValue& json, ExampleOrigin& origin);
void to_json(nlohmann::ordered_json& json, const DocumentSpan& span);
void from_json(const JsonValue& json, DocumentSpan& span);

}  // namespace millrace
