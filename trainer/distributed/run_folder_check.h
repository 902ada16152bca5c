#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/distributed/communicator.h"
#include "trainer/distributed/rank_facts.h"

namespace millrace {

/// Where a rank writes what only it knows: ranks/0003.log, ranks/0003.status.
std::filesystem::path rank_file(const std::filesystem::path& run_folder, int rank, const std::string& ending);

/// What rank 0 tells when a run begins.
struct BegunRun {
  std::filesystem::path folder;
  double stall_seconds = 0;
};

/// Rank 0 tells it to all others. Throws ConfigError, naming who does not see the folder: it must be one that all
/// machines share.
void tell_run(Communicator& ranks, const std::vector<RankFacts>& all, const BegunRun& run);

/// The others' side: what rank 0 tells in `text`. All are told whether this one sees the folder.
BegunRun see_run(Communicator& ranks, const std::string& text);

}  // namespace millrace
