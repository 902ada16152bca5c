#pragma once

#include "pipeline/config/stream_config.h"
#include "pipeline/keys/config_table.h"

namespace millrace {

inline constexpr double kPercent = 100;

double percent(ShareUnits share);
/// The table's `share`, a percentage. Throws ConfigError unless it is above 0 and at most 100.
ShareUnits read_share(const ConfigTable& table);

}  // namespace millrace
