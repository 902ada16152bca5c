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

/// How far a run's logs are to be believed when it goes on: what a checkpoint knows.
struct LogEnd {
  std::uint64_t step = 0;                     ///< Steps done.
  std::optional<std::uint64_t> evaluated_at;  ///< Step of the last evaluation.
  std::uint64_t row = 0;                      ///< Rows trained on.
};

/// A run's logs. One JSON object a line, each line handed to the system whole:
///   metrics.jsonl    a training line a step ("step": steps done), an evaluation line ("eval") where one was made
///   rejects.jsonl    what was passed over, with the number of the row that came next
///   positions.jsonl  the position behind every thousandth row
/// and the numbers of metrics.jsonl once more for TensorBoard: see event_log.h.
/// A line that the disk does not take is kept and tried again with the next one; the log says so once a file.
class RunLog {
 public:
  /// Opens the files of `folder` for appending; they need not exist. `first_step` is the first that will be written,
  /// anew or for the first time. Throws std::system_error with the path.
  RunLog(const std::filesystem::path& folder, std::uint64_t first_step);
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// A line of metrics.jsonl.
  void metrics(const nlohmann::ordered_json& line);
  /// The rejects that came before a row, and its position if it is due. `corpora` names them.
  void row(const StreamRow& row, const std::vector<std::string>& corpora);
  /// The rejects alone, of a row that is not trained on.
  void rejects(const StreamRow& row, const std::vector<std::string>& corpora);
  /// Tries once more what the disk did not take.
  void retry();
  /// Makes the lines that the system has last: to be called before the checkpoint that relies on them is published.
  /// Any thread.
  void sync() const;

 private:
  AppendFile metrics_, rejects_, positions_;
  EventLog events_;
};

/// True if a run has logged something in `folder`.
bool holds_logs(const std::filesystem::path& folder);

/// Cuts the logs of `folder` back to `end`, or to nothing, so that each step and row appears once when the run goes on.
/// Torn and unreadable lines go, too. Atomic per file, and may be repeated. Takes no more memory for longer logs.
void cut_back_logs(const std::filesystem::path& folder, const std::optional<LogEnd>& end);

}  // namespace millrace
