#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/row_statistics.h"

namespace millrace {

/// What rows consist of, next to what was asked for: positions, denoisers, mask ratios and spans, and examples per
/// corpus and denoiser. `corpora`: the names of the run's corpora.
std::string statistics_text(const StreamStatistics& statistics, const StreamConfig& config,
                            const std::vector<std::string>& corpora);
nlohmann::ordered_json statistics_json(const StreamStatistics& statistics, const StreamConfig& config,
                                       const std::vector<std::string>& corpora);

}  // namespace millrace
