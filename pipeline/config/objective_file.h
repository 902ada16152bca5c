#pragma once

#include <filesystem>
#include <string>

#include "pipeline/keys/config_table.h"
#include "stages/objectives/objective.h"

namespace millrace {

/// Positions of the longest row, and of the longest feature of a packed one, that a run may ask for.
inline constexpr int kLongestRow = 1 << 20;
/// What mean_span, counted exactly in f32, and mask_ratio may be.
inline constexpr NumberRange kMeanSpans{.least = 1, .most = 1 << 20};
inline constexpr NumberRange kMaskRatios{.most = 1, .least_excluded = true, .most_excluded = true};

/// Reads mixes/objectives/*.toml: layout, inputs, targets, separator, attention, max_document_tokens and [[denoiser]]
/// tables. Throws ConfigError with line and column for shares that do not sum to 100, two denoisers of one name, keys
/// that the layout or the denoisers give no meaning, unknown keys.
Objective read_objective(const ConfigTable& table);
Objective load_objective(const std::filesystem::path& file);

/// The objective as a TOML file that loads to the same again. Defaults of later keys are left out, so that a run reads
/// as it did before they existed.
std::string to_toml(const Objective& objective);
/// Reads what to_toml wrote; `name` stands for the file in complaints.
Objective objective_from_toml(const std::string& text, const std::string& name);

}  // namespace millrace
