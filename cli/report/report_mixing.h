#pragma once

#include <cstdint>
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/mixing_record.h"
#include "trainer/config/run_config.h"

namespace millrace {

/// Where a run folder keeps how well its rows are mixed: a file of its own, for the rows are not in the folder, and
/// making them again takes the shards and some time.
std::filesystem::path mixing_file(const std::filesystem::path& run_folder);

/// What mixing_file() holds: the record, and the run's hash. `run`: as the run folder has it.
std::string mixing_file_text(const MixingRecord& record, const RunConfig& run);

/// What the page shows of mixing_file(), its windows thinned as all curves are:
///   {"first_row", "rows", "batch_rows", "window_rows", "shuffles",
///    "run_changed": whether run, mixes or objectives are others now,
///    "advice": [...], see mixing_advice,
///    "corpora": [{"name", "examples", "documents", "pairs", "distances": [{"by", "values", "windows": how many,
///    ...}]}], "curves": [{"by", "from_rows": curves by step, "from_epoch"}]: found/CORPUS and shuffled/CORPUS; the
///    first is by shard}
/// `first_step`: steps done before the run's first row. null if there is no such file. A damaged one is named in a
/// message, and null.
nlohmann::ordered_json mixing_for_report(const std::filesystem::path& run_folder, const RunConfig& run,
                                         std::uint64_t first_step);

}  // namespace millrace
