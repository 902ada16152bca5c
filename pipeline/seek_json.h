#pragma once

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// A place to read from as [offset, content, byte, line, record], with `lost` behind them if it is not 0.
void to_json(nlohmann::ordered_json& json, const SeekPoint& point);
void from_json(const JsonValue& json, SeekPoint& point);

}  // namespace millrace
