#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/config/mix.h"
#include "pipeline/plan/mix_forecast.h"
#include "pipeline/reading/lanes.h"

namespace millrace {

/// "text" or "code".
const char* name_of(CorpusKind kind);

/// A forecast as `mix plan --json` prints it, without what a model takes: {"total_tokens", "ends_at", "phases",
/// "corpora", "by_kind", "order"}. What is not known is null. `reading`: how the corpora are read; empty: not known.
nlohmann::ordered_json forecast_json(const ForecastRequest& request, const MixForecast& forecast,
                                     const std::vector<ReadingPlan>& reading);

}  // namespace millrace
