#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "model/cost/activated_parameters.h"

namespace millrace {

/// A run's parameters and what training takes: a line for all, for those that a token uses, and for those of them in
/// the layers. `head` is 0 without a vocabulary: then the layers alone.
std::string compute_table(const ParameterCounts& counts, double positions);
/// {"all", "activated", "activated_layers", "positions", "activated_x_positions", "operations"}; null what needs a
/// vocabulary.
nlohmann::ordered_json compute_json(const ParameterCounts& counts, double positions);

}  // namespace millrace
