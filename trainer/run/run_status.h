#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/distributed/rank_listener.h"

namespace millrace {

/// Where a run stands, by what its folder says; it may be going on.
struct RunStatus {
  bool is_being_trained = false;
  std::uint64_t step = 0;  ///< The last one in metrics.jsonl.
  std::uint64_t tokens = 0;
  std::uint64_t total_tokens = 0;
  std::optional<double> loss;               ///< None: there is no step yet, or the last one was skipped.
  std::optional<double> tokens_per_s;       ///< Likewise.
  std::optional<std::uint64_t> checkpoint;  ///< The newest one's step.
  std::vector<HeardRank> ranks;             ///< Where several processes trained it last.
};

/// Listens to ranks that have not ended, for some seconds at most. Throws ConfigError if no run is in the folder.
RunStatus run_status(const std::filesystem::path& run_folder);

/// Whether somebody trains the run: holds its lock, or is heard as a rank, from whatever machine.
bool is_being_trained(const std::filesystem::path& run_folder);

}  // namespace millrace
