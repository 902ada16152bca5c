#pragma once

#include <nlohmann/json_fwd.hpp>

#include "stages/records.h"

namespace millrace {

class JsonValue;

/// A place to read from as [offset, content, byte, line, record], with `lost` behind them if it is not 0.
nlohmann::ordered_json json_of(const SeekPoint& point);
/// Throws ConfigError if it is none.
SeekPoint seek_point_of(const JsonValue& json);

}  // namespace millrace
