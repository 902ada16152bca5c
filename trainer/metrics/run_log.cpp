#include "trainer/metrics/run_log.h"

#include <functional>

#include <spdlog/spdlog.h>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "trainer/metrics/line_filter.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kRejects = "rejects.jsonl";
constexpr const char* kPositions = "positions.jsonl";
constexpr std::uint64_t kPositionEvery = 1000;
constexpr std::uint64_t kPositionBytesARow = 16;

/// Keeps the lines that are JSON objects and that `keep` wants.
void keep_objects(const fs::path& path, const std::function<bool(const Json&)>& keep) {
  if (!fs::is_regular_file(path)) return;  // No file; or a device, which stores nothing.
  keep_lines(path, [&](const std::string& line) {
    const Json json = Json::parse(line, nullptr, false);
    return json.is_object() && keep(json);
  });
}

std::optional<std::uint64_t> number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

bool at_most(const std::optional<std::uint64_t>& value, const std::optional<std::uint64_t>& bound) {
  return value && bound && *value <= *bound;
}

void tell(const std::string& trouble) {
  spdlog::error("{}", trouble);
}

}  // namespace

RunLog::RunLog(const fs::path& folder, std::uint64_t first_step, const RunSettings& settings)
    : metrics_(folder / kMetrics, tell),
      rejects_(folder / kRejects, tell),
      positions_(folder / kPositions, tell),
      events_(folder, first_step, settings, tell) {}

RunLog::~RunLog() = default;

void RunLog::metrics(const Json& line) {
  metrics_.append(json_line(line) + "\n");
  events_.add(line);
}

void RunLog::row(const StreamRow& row, const std::vector<std::string>& corpora) {
  rejects(row, corpora);
  if (row.after->row % kPositionEvery != 0) return;
  const std::string line = json_line(*row.after) + "\n";
  std::uint64_t every = kPositionEvery;
  while (every * kPositionBytesARow < line.size()) every *= 2;
  if (row.after->row % every == 0) positions_.append(line);
}

void RunLog::rejects(const StreamRow& row, const std::vector<std::string>& corpora) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i) {
    Json json{{"row", row.number}, {"corpus", corpora.at(row.reject_corpora.at(i))}};
    json.update(Json(row.rejects[i]));
    rejects_.append(json_line(json) + "\n");
  }
}

void RunLog::retry() {
  for (AppendFile* file : {&metrics_, &rejects_, &positions_, &events_.file()}) file->retry();
}

void RunLog::sync() const {
  for (const AppendFile* file : {&metrics_, &rejects_, &positions_, &events_.file()}) file->sync();
}

bool holds_logs(const fs::path& folder) {
  std::error_code missing;
  const std::uintmax_t size = fs::file_size(folder / kMetrics, missing);
  return !missing && size > 0;
}

void cut_back_logs(const fs::path& folder, const std::optional<LogEnd>& end) {
  keep_objects(folder / kMetrics, [&](const Json& line) {
    return end && at_most(number(line, "step"), line.contains("eval") ? end->evaluated_at : end->step);
  });
  keep_objects(folder / kRejects, [&](const Json& line) {
    const auto row = number(line, "row");
    return end && row && *row < end->row;
  });
  keep_objects(folder / kPositions, [&](const Json& line) { return end && at_most(number(line, "row"), end->row); });
}

}  // namespace millrace
