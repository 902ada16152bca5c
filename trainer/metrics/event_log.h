#pragma once

#include <cstdint>
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

#include "stages/io/append_file.h"

namespace millrace {

/// A run's numbers as TensorBoard reads them: a file events.out.tfevents.TIME.HOST.PID.0 in the run folder, one more
/// each time the run goes on. It holds what metrics.jsonl holds, under the tags that docs/metrics.md names. Files of a
/// folder are read in the order of their names; TIME is later than that of any file that is there already.
class EventLog {
 public:
  /// Begins a file; what earlier ones say of `first_step` and later steps no longer holds. Throws std::system_error.
  EventLog(const std::filesystem::path& folder, std::uint64_t first_step, AppendFile::Tell tell);

  /// The numbers of a line of metrics.jsonl: of a step, or of an evaluation. As AppendFile::append.
  void add(const nlohmann::ordered_json& line);

  AppendFile& file() { return file_; }
  const AppendFile& file() const { return file_; }

 private:
  AppendFile file_;
};

}  // namespace millrace
