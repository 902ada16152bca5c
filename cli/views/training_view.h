#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/evaluation/evaluation.h"

namespace millrace {

/// The number with this many decimals, or a note that it is not finite.
std::string finite_text(double number, int decimals);

/// The steps behind `first_step` up to `last_step`: "60 steps", or "steps 61 to 120".
std::string steps_text(std::uint64_t first_step, std::uint64_t last_step);

/// One line on an evaluation: loss, unigram bound, accuracy.
std::string evaluation_line(std::uint64_t step, const Evaluation& evaluation);

/// How a run ended, as tables: losses on held-out tokens against the unigram bound, asked and realised shares, rejects,
/// time. `summary`: the contents of summary.json.
std::string outcome_text(const nlohmann::ordered_json& summary);

}  // namespace millrace
