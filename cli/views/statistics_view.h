#pragma once

#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/row_statistics.h"

namespace millrace {

/// What rows are made of beside what was asked for: positions, denoisers, mask ratios and spans, and corpus x denoiser
/// in examples. `corpora` names those of the run.
std::string statistics_text(const StreamStatistics& statistics, const StreamConfig& config,
                            const std::vector<std::string>& corpora);
/// The same as one line of JSON.
std::string statistics_json(const StreamStatistics& statistics, const StreamConfig& config,
                            const std::vector<std::string>& corpora);

}  // namespace millrace
