#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "stages/io/append_file.h"

namespace millrace {

/// What a run is, for who looks at its curves.
struct RunSettings {
  std::vector<std::pair<std::string, std::string>> files;  ///< The resolved run: names and texts.
  std::shared_ptr<const nlohmann::ordered_json> keys;      ///< Key: value; nullptr: none.
};

/// A run's metrics for TensorBoard: a file events.out.tfevents.TIME.HOST.PID.0 in the run folder, and another one each
/// time the run resumes. It holds what metrics.jsonl holds, under the tags that docs/metrics.md names. Files of a
/// folder are read in the order of their names; TIME is later than that of any existing file.
class EventLog {
 public:
  /// Starts a file that supersedes what earlier ones hold for `first_step` and later steps. Throws std::system_error.
  /// The settings are written at once: as texts "run/FILE", and as hyperparameters.
  EventLog(const std::filesystem::path& folder, std::uint64_t first_step, const RunSettings& settings,
           AppendFile::Tell tell);

  /// Appends the numbers of one line of metrics.jsonl, of a step or of an evaluation. As AppendFile::append.
  void add(const nlohmann::ordered_json& line);

  AppendFile& file() { return file_; }
  const AppendFile& file() const { return file_; }

 private:
  AppendFile file_;
};

}  // namespace millrace
