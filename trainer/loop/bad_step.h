#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/checkpoint/train_state.h"

namespace millrace {

/// Why a step with these results must be skipped; empty: it need not be.
std::string why_bad(double loss, double gradient_norm);

/// The line of metrics.jsonl for a skipped step: docs/metrics.md.
nlohmann::ordered_json skipped_line(const TrainState& state, const std::string& why, double seconds, double data_wait);

/// A warning about the losses so far; empty: none. Given once, when the loss was above the first step's in fifty
/// updates in a row.
std::string warning_of_losses(const TrainState& state);

}  // namespace millrace
