#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/position.h"
#include "pipeline/rows/stream_row.h"
#include "stages/io/append_file.h"
#include "trainer/metrics/event_log.h"

namespace millrace {

/// Up to where a run's logs are kept when it resumes: the state saved in its checkpoint.
struct LogEnd {
  std::uint64_t step = 0;                     ///< Steps done.
  std::optional<std::uint64_t> evaluated_at;  ///< Step of the last evaluation.
  std::uint64_t row = 0;                      ///< Rows trained on.
};

/// A run's logs. One JSON object per line; each line is written with one call:
///   metrics.jsonl    a line per training step ("step": steps done), and one per evaluation ("eval")
///   rejects.jsonl    rejects, with the number of the row that came next
///   positions.jsonl  the position after every thousandth row, or, where it is long, so rarely that a row takes 16
///   bytes
/// and the numbers of metrics.jsonl once more for TensorBoard: see event_log.h.
/// A line that cannot be written is kept and retried with the next one; the log reports this once per file.
class RunLog {
 public:
  /// Opens the files of `folder` for appending; they need not exist. `first_step` is the first step that will be
  /// written, even if it was written before. Throws std::system_error with the path.
  RunLog(const std::filesystem::path& folder, std::uint64_t first_step, const RunSettings& settings = {});
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// A line of metrics.jsonl.
  void metrics(const nlohmann::ordered_json& line);
  /// Writes the rejects that came before a row, and its position if due. `corpora`: the corpora's names.
  void row(const StreamRow& row, const std::vector<std::string>& corpora);
  /// Writes only the rejects, for a row that is not trained on.
  void rejects(const StreamRow& row, const std::vector<std::string>& corpora);
  /// Retries the lines that could not be written.
  void retry();
  /// Flushes all written lines to disk (fsync): call it before publishing a checkpoint that relies on them. Any thread.
  void sync() const;

 private:
  AppendFile metrics_, rejects_, positions_;
  EventLog events_;
};

/// True if a run has logged something in `folder`.
bool holds_logs(const std::filesystem::path& folder);

/// Cuts the logs of `folder` back to `end`, or to nothing, so that each step and row appears once when the run goes on.
/// Removes torn and unreadable lines, too. Atomic per file and idempotent. Memory does not grow with the logs.
void cut_back_logs(const std::filesystem::path& folder, const std::optional<LogEnd>& end);

}  // namespace millrace
