#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/checkpoint/train_state.h"

namespace millrace {

/// Why a step with these results must not be made; empty: it may.
std::string why_bad(double loss, double gradient_norm);

/// The line of metrics.jsonl that a skipped step has: docs/metrics.md.
nlohmann::ordered_json skipped_line(const TrainState& state, const std::string& why, double seconds, double data_wait);

/// What is to be said of the losses so far; empty: nothing. Told once when the loss was above the first step's in fifty
/// updates in a row.
std::string warning_of_losses(const TrainState& state);

}  // namespace millrace
