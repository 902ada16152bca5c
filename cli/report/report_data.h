#pragma once

#include <filesystem>
#include <string>

namespace millrace {

/// Throws ConfigError if the folder holds no run.
void require_run(const std::filesystem::path& run_folder);

/// What `millrace report` shows of a run folder, as one JSON object: "name", "status" ("running", "complete",
/// "interrupted"), "from", "step", "total_steps", "phases", "metrics" (see RunMetrics), "mixing" (see
/// mixing_for_report), "rejects", "checkpoints", "settings" and more. Only reads; the run may be in progress. Throws
/// ConfigError if the folder holds no run.
std::string report_json(const std::filesystem::path& run_folder);

}  // namespace millrace
